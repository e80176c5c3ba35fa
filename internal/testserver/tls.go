package testserver

import (
	"crypto/tls"
	"net/url"
	"testing"
)

const adminUser = "admin"

// TLSServer is a standalone server that accepts only TLS, only clients with a certificate, and only known users.
type TLSServer struct {
	*Server              // its URL and its Do are those of the administrator, who may do everything
	TLS      *tls.Config // trusts the server and presents the client's certificate; clone it to change it
	CAFile   string      // PEM files of the same
	CertFile string
	KeyFile  string
}

// RedisTLS starts a server with TLS, client certificates and the users that the lines of acl describe, such as
// "user app on >secret ~app:* +get". There is no default user.
func RedisTLS(t testing.TB, acl []string, opts ...Option) *TLSServer {
	t.Helper()
	s := settingsOf(opts)
	if s.flavour == FlavourDragonfly {
		t.Fatal("testserver.RedisTLS cannot start Dragonfly")
	}
	dir := t.TempDir()
	certs, err := newCertificates(dir)
	if err != nil {
		t.Fatal(err)
	}
	s.tls = certs
	s.acl = append([]string{"user default off", "user " + adminUser + " on >" + certs.adminPassword + " ~* &* +@all"}, append(s.acl, acl...)...)
	server, release, err := startStandalone(dir, s)
	if err != nil {
		giveUp(t, err)
	}
	server.own(t, release)
	return &TLSServer{
		Server: server, TLS: certs.clientConfig(),
		CAFile: certs.caFile, CertFile: certs.clientCert, KeyFile: certs.clientKey,
	}
}

// URLFor returns the server's rediss:// URL with the given user and password.
func (s *TLSServer) URLFor(user, password string) string {
	u := url.URL{Scheme: "rediss", Host: s.Addr, User: url.UserPassword(user, password)}
	return u.String()
}
