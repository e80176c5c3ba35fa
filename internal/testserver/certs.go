package testserver

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// certificates are a certificate authority made for one test, what it signed, and where that is on disk.
type certificates struct {
	caFile, serverCert, serverKey, clientCert, clientKey string

	pool          *x509.CertPool
	client        tls.Certificate
	adminPassword string
}

func newCertificates(dir string) (*certificates, error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	ca := certificate("testserver CA", 1)
	ca.IsCA, ca.BasicConstraintsValid, ca.KeyUsage = true, true, x509.KeyUsageCertSign
	c := &certificates{pool: x509.NewCertPool(), adminPassword: rand.Text()}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		return nil, err
	}
	if ca, err = x509.ParseCertificate(caDER); err != nil {
		return nil, err
	}
	c.pool.AddCert(ca)
	c.caFile = filepath.Join(dir, "ca.crt")
	server, client := certificate("localhost", 2), certificate("client", 3)
	server.IPAddresses, server.DNSNames = []net.IP{net.IPv4(127, 0, 0, 1)}, []string{"localhost"}
	errCA := writePEM(c.caFile, "CERTIFICATE", caDER)
	var errServer, errClient error
	c.serverCert, c.serverKey, errServer = sign(dir, "server", server, ca, caKey)
	c.clientCert, c.clientKey, errClient = sign(dir, "client", client, ca, caKey)
	if err := errors.Join(errCA, errServer, errClient); err != nil {
		return nil, err
	}
	c.client, err = tls.LoadX509KeyPair(c.clientCert, c.clientKey)
	return c, err
}

func certificate(name string, serial int64) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
}

// sign makes a key and its certificate and writes both to dir.
func sign(dir, name string, cert, ca *x509.Certificate, caKey *ecdsa.PrivateKey) (certFile, keyFile string, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, ca, key.Public(), caKey)
	if err != nil {
		return "", "", err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", "", err
	}
	certFile, keyFile = filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")
	return certFile, keyFile, errors.Join(
		writePEM(certFile, "CERTIFICATE", der),
		writePEM(keyFile, "PRIVATE KEY", keyDER),
	)
}

func writePEM(file, kind string, der []byte) error {
	return os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}

func (c *certificates) serverArgs() []string {
	return []string{
		"--tls-cert-file", c.serverCert, "--tls-key-file", c.serverKey, "--tls-ca-cert-file", c.caFile,
		"--tls-auth-clients", "yes",
	}
}

func (c *certificates) clientConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, ServerName: "127.0.0.1",
		RootCAs: c.pool, Certificates: []tls.Certificate{c.client},
	}
}
