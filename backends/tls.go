package backends

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// readTLS reads the parameters of TLS, and asks for the outcome of all of them.
// It returns nil where there shall be no TLS.
func readTLS(a *address) (*tls.Config, error) {
	p := &a.params
	byScheme := a.scheme == "rediss" || a.scheme == "valkeys" || a.scheme == "dragonflys"
	on := p.flag("tls", byScheme)
	ca, cert, key := p.text("tls_ca"), p.text("tls_cert"), p.text("tls_key")
	c := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		ServerName:         p.text("tls_server_name"),
		InsecureSkipVerify: p.flag("tls_insecure_skip_verify", false),
	}
	if err := p.done(); err != nil {
		return nil, err
	}
	if !on {
		if byScheme {
			return nil, fmt.Errorf("the scheme %s means TLS, so it does not go with tls=off; write %s:// for a connection without", a.scheme, strings.TrimSuffix(a.scheme, "s"))
		}
		if slices.ContainsFunc([]string{"tls_ca", "tls_cert", "tls_key", "tls_server_name", "tls_insecure_skip_verify"}, p.has) {
			return nil, errors.New("TLS parameters need tls=on or the scheme rediss://")
		}
		return nil, nil
	}
	if ca != "" {
		pem, err := readPEM("tls_ca", ca)
		if err != nil {
			return nil, err
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, errors.New("parameter tls_ca: it holds no PEM certificate")
		}
	}
	if (cert == "") != (key == "") {
		return nil, errors.New("parameters tls_cert and tls_key belong together; give both")
	}
	if cert != "" {
		certPEM, err := readPEM("tls_cert", cert)
		if err != nil {
			return nil, err
		}
		keyPEM, err := readPEM("tls_key", key)
		if err != nil {
			return nil, err
		}
		pair, err := tls.X509KeyPair(certPEM, keyPEM)
		if err != nil {
			return nil, errors.New("parameters tls_cert and tls_key: they hold no PEM certificate and the private key that belongs to it")
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// maxPEM is more than any bundle of authorities has.
const maxPEM = 4 << 20

// readPEM returns the parameter name itself where it is PEM, and otherwise the
// content of the file that it names. Its errors do not repeat the parameter, which
// may be a key that was not recognised as one.
func readPEM(name, value string) ([]byte, error) {
	if strings.HasPrefix(value, "-----BEGIN ") {
		return []byte(value), nil
	}
	info, err := os.Stat(value)
	var pem []byte
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("parameter %s: it is no regular file", name)
	case info.Size() > maxPEM:
		return nil, fmt.Errorf("parameter %s: the file is too large for certificates", name)
	default:
		pem, err = os.ReadFile(value)
	}
	if path := (*fs.PathError)(nil); errors.As(err, &path) {
		return nil, fmt.Errorf("parameter %s: the file cannot be read: %w", name, path.Err)
	}
	return pem, err
}
