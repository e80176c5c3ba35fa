package socketio

import (
	"net/http"

	"github.com/zishang520/socket.io/servers/socket/v3"

	"github.com/sessionkv/store"
)

// The keys of what [Options].Keep keeps of a handshake.
const (
	Query   = store.Key[map[string][]string]("socketio.query")
	Headers = store.Key[map[string][]string]("socketio.headers")
	Auth    = store.Key[map[string]any]("socketio.auth")
)

// A Handshake is what a client sent when it connected.
type Handshake struct {
	Query   map[string][]string
	Headers map[string][]string // with canonical names, as in net/http
	Auth    map[string]any
}

// HandshakeOf returns the handshake of s without its credentials: the headers
// Authorization, Cookie and Proxy-Authorization, and the session's ID in auth.
func HandshakeOf(s *socket.Socket) Handshake {
	from := s.Handshake()
	h := Handshake{
		Query:   lists(from.Query),
		Headers: make(map[string][]string),
		Auth:    make(map[string]any, len(from.Auth)),
	}
	for name, values := range lists(from.Headers) {
		switch name = http.CanonicalHeaderKey(name); name {
		case "Authorization", "Cookie", "Proxy-Authorization":
		default:
			h.Headers[name] = values
		}
	}
	for name, value := range from.Auth {
		if name != "session" {
			h.Auth[name] = value
		}
	}
	return h
}

func lists(m map[string]any) map[string][]string {
	out := make(map[string][]string, len(m))
	for name, value := range m {
		switch v := value.(type) {
		case []string:
			out[name] = v
		case string:
			out[name] = []string{v}
		}
	}
	return out
}
