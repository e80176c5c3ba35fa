package testserver

import (
	"crypto/tls"
	"strings"
	"testing"
)

func TestRedisTLS(t *testing.T) {
	for _, f := range []Flavour{FlavourRedis, FlavourRedis8, FlavourValkey} {
		t.Run(string(f), func(t *testing.T) {
			s := RedisTLS(t, []string{"user app on >secret ~app:* +get +set"}, WithFlavour(f))
			requireReply(t, s.Server, "OK", "SET", "app:k", "v")
			app := &Server{endpoint: endpoint{addr: s.Addr, user: "app", password: "secret", tls: s.TLS}}
			requireReply(t, app, "v", "GET", "app:k")
			requireError(t, app, "NOPERM", "GET", "other")
			requireError(t, &Server{endpoint: endpoint{addr: s.Addr, user: "app", password: "wrong", tls: s.TLS}}, "WRONGPASS", "PING")
			requireError(t, &Server{endpoint: endpoint{addr: s.Addr, tls: s.TLS}}, "NOAUTH", "PING")
			stranger := &tls.Config{RootCAs: s.TLS.RootCAs, ServerName: s.TLS.ServerName}
			if got, err := (endpoint{addr: s.Addr, tls: stranger}).do("PING"); err == nil {
				t.Errorf("PING without a certificate = %v, want an error", got)
			}
			if want := "rediss://app:secret@" + s.Addr; s.URLFor("app", "secret") != want {
				t.Errorf("URLFor = %q, want %q", s.URLFor("app", "secret"), want)
			}
			pid := s.PID()
			s.Restart()
			requireGone(t, pid)
			requireReply(t, s.Server, "PONG", "PING")
		})
	}
}

func TestWithACL(t *testing.T) {
	s := Redis(t, WithACL("user default off", "user app on >secret ~* &* +@all"))
	requireError(t, s, "NOAUTH", "PING")
	app := &Server{endpoint: endpoint{addr: s.Addr, user: "app", password: "secret"}}
	requireReply(t, app, "PONG", "PING")
	if strings.Contains(s.URL, "secret") {
		t.Errorf("URL = %q, with the password of a user it knows nothing of", s.URL)
	}
}
