package backends_test

import (
	"errors"
	"testing"

	"github.com/sessionkv/store/backends"
)

// What is wrong with the URL itself is told from what the server says.
func TestErrURL(t *testing.T) {
	for url, want := range map[string]bool{
		"":                                  true,
		"frob://host":                       true,
		"redis://host:port":                 true,
		"redis://localhost?frob=1":          true,
		"redis://localhost?namespace=a:b":   true,
		"redis://localhost?tls_ca=/no/file": true,
		"memory:x":                          true,
		"redis://127.0.0.1:1":               false,
		"redis+cluster://127.0.0.1:1":       false,
		"hazelcast://127.0.0.1:1?connect_timeout=100ms": false,
	} {
		if _, err := backends.Open(t.Context(), url); err == nil || errors.Is(err, backends.ErrURL) != want {
			t.Errorf("Open(%q) = %v, which is ErrURL: %t, want %t", url, err, errors.Is(err, backends.ErrURL), want)
		}
	}
}
