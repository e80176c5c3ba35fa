package testserver

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"time"
)

// callTimeout bounds one command, so that a server that is paused or stuck does not hang a test.
const callTimeout = 5 * time.Second

// endpoint is where and how to reach a server that speaks RESP, the protocol of Redis.
type endpoint struct {
	addr           string
	user, password string
	tls            *tls.Config // nil for plain TCP
}

func parseEndpoint(raw string) (endpoint, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return endpoint{}, errors.New("not a URL") // the parser's own error would print the password
	}
	e := endpoint{addr: u.Host, user: u.User.Username()}
	e.password, _ = u.User.Password()
	if u.Hostname() == "" {
		return endpoint{}, errors.New("not a URL of the form redis://host:port")
	}
	if u.Port() == "" {
		e.addr = net.JoinHostPort(u.Hostname(), "6379")
	}
	if u.Scheme == "rediss" || u.Scheme == "valkeys" {
		e.tls = &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12}
	}
	return e, nil
}

// do sends one command on a connection of its own. The answer is a string, an int64, nil or a slice of those; an
// error reply is returned as an error with the server's text.
func (e endpoint) do(args ...string) (any, error) {
	conn, err := e.dial()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(callTimeout)); err != nil {
		return nil, err
	}
	r := bufio.NewReader(conn)
	if e.password != "" {
		auth := []string{"AUTH", e.password}
		if e.user != "" {
			auth = []string{"AUTH", e.user, e.password}
		}
		if _, err := call(conn, r, auth); err != nil {
			return nil, err
		}
	}
	return call(conn, r, args)
}

func (e endpoint) dial() (net.Conn, error) {
	d := &net.Dialer{Timeout: callTimeout}
	if e.tls != nil {
		return tls.DialWithDialer(d, "tcp", e.addr, e.tls)
	}
	return d.Dial("tcp", e.addr)
}

func call(w io.Writer, r *bufio.Reader, args []string) (any, error) {
	request := fmt.Appendf(nil, "*%d\r\n", len(args))
	for _, arg := range args {
		request = fmt.Appendf(request, "$%d\r\n%s\r\n", len(arg), arg)
	}
	if _, err := w.Write(request); err != nil {
		return nil, err
	}
	return readReply(r)
}

func readReply(r *bufio.Reader) (any, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return nil, err
	}
	if len(line) < 3 {
		return nil, fmt.Errorf("malformed reply %q", line)
	}
	kind, rest := line[0], line[1:len(line)-2]
	switch kind {
	case '+':
		return rest, nil
	case '-':
		return nil, errors.New(rest)
	}
	n, err := strconv.ParseInt(rest, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("malformed reply %q", line)
	}
	switch {
	case kind == ':':
		return n, nil
	case kind == '$' && n >= 0:
		data := make([]byte, n+2)
		if _, err := io.ReadFull(r, data); err != nil {
			return nil, err
		}
		return string(data[:n]), nil
	case kind == '*' && n >= 0:
		items := make([]any, n)
		for i := range items {
			if items[i], err = readReply(r); err != nil {
				return nil, err
			}
		}
		return items, nil
	case kind == '$' || kind == '*':
		return nil, nil
	}
	return nil, fmt.Errorf("malformed reply %q", line)
}
