package store_test

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
)

// A wsConn is one end of a WebSocket (RFC 6455), as far as an example needs it:
// short text messages. The root module has no WebSocket library, not even for
// tests; examples/websocket and the systemtest use real ones.
type wsConn struct {
	net.Conn
	in     io.Reader
	client bool // its frames are masked
}

// accept upgrades the request of a handler.
func accept(w http.ResponseWriter, r *http.Request) (*wsConn, error) {
	key := r.Header.Get("Sec-WebSocket-Key")
	if key == "" {
		http.Error(w, "a WebSocket handshake is expected", http.StatusUpgradeRequired)
		return nil, errors.New("no WebSocket handshake")
	}
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, err
	}
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	_, err = fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		base64.StdEncoding.EncodeToString(sum[:]))
	return &wsConn{Conn: conn, in: rw}, err
}

// dial connects to a server.
func dial(address string) (*wsConn, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
		u.RequestURI(), u.Host)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, nil)
	if err == nil && resp.StatusCode != http.StatusSwitchingProtocols {
		err = fmt.Errorf("handshake: %s", resp.Status)
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &wsConn{Conn: conn, in: in, client: true}, nil
}

// Write sends a text message of up to 125 bytes.
func (c *wsConn) Write(text string) error {
	if len(text) > 125 {
		return errors.New("message too long")
	}
	frame := []byte{0x81, byte(len(text))}
	if c.client {
		frame[1] |= 0x80
		frame = append(frame, 0, 0, 0, 0) // a mask that changes nothing
	}
	_, err := c.Conn.Write(append(frame, text...))
	return err
}

// Read returns the next text message.
func (c *wsConn) Read() (string, error) {
	head := make([]byte, 2)
	if _, err := io.ReadFull(c.in, head); err != nil {
		return "", err
	}
	if head[0] != 0x81 || head[1]&0x7f > 125 {
		return "", errors.New("no short text message")
	}
	mask := make([]byte, 4)
	if head[1]&0x80 != 0 {
		if _, err := io.ReadFull(c.in, mask); err != nil {
			return "", err
		}
	}
	text := make([]byte, head[1]&0x7f)
	_, err := io.ReadFull(c.in, text)
	for i := range text {
		text[i] ^= mask[i%4]
	}
	return string(text), err
}
