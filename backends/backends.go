// Package backends opens any backend from a URL, so that a program can be moved
// from memory to a server by configuration alone. It links every client; a
// program that wants one backend only imports that backend's package instead.
//
//	memory:
//	redis://user:password@host:6379/0       also valkey:// and dragonfly://
//	rediss://user:password@host:6379/0      TLS; also valkeys://
//	redis+sentinel://host:26379,host:26379/primary-name
//	redis+cluster://host:7000,host:7001
//	hazelcast://host:5701,host:5702/cluster-name
//
// Special characters in a user name or password are written with % escapes.
// Unknown schemes and parameters, malformed values and missing hosts are errors.
//
// # Parameters
//
// All schemes but memory take:
//
//	namespace        keeps applications on one server apart (default "store")
//
// All Redis schemes take:
//
//	db               database number (not for clusters); or as the path of redis://
//	pool_size        connections per server
//	dial_timeout, read_timeout, write_timeout
//	                 durations such as 500ms
//	batching         on (default) or off: merge concurrent operations
//	wait             replicas that must confirm a write (WAIT), 0 by default
//	wait_timeout     how long to wait for them
//	tls              on or off (rediss:// and valkeys:// mean on)
//	tls_ca, tls_cert, tls_key
//	                 PEM files: the authority to trust, a client certificate
//	tls_server_name  the name to verify
//
// Sentinel URLs also take sentinel_user and sentinel_password; user and password
// of the URL itself are those of the Redis servers.
//
// Hazelcast URLs take:
//
//	user, password   as part of the URL
//	connect_timeout  how long to try to reach the cluster (default 10s)
//	timeout          how long one operation waits for the cluster
package backends

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/memstore"
)

// openers maps each scheme to what opens it.
var openers = map[string]func(context.Context, *address) (store.Backend, error){
	"memory":         openMemory,
	"redis":          openRedis,
	"rediss":         openRedis,
	"valkey":         openRedis,
	"valkeys":        openRedis,
	"dragonfly":      openRedis,
	"redis+sentinel": openSentinel,
	"redis+cluster":  openCluster,
	"hazelcast":      openHazelcast,
}

// Open connects to the server that url names and returns its backend, together
// with the client: closing the backend closes both. The context bounds the
// connecting. An unreachable server, a wrong password and a malformed URL are
// errors here and not at the first use. No error text contains the password.
//
// See the package comment for the URLs.
func Open(ctx context.Context, url string) (store.Backend, error) {
	a, err := parse(url)
	if err != nil {
		return nil, fmt.Errorf("backends: cannot use the store URL: %w", err)
	}
	open, ok := openers[a.scheme]
	if !ok {
		return nil, fmt.Errorf("backends: unknown scheme %q in the store URL; known are %s", a.scheme, strings.Join(schemes(), ", "))
	}
	b, err := open(ctx, a)
	if err != nil {
		return nil, fmt.Errorf("backends: %s: %w", a.scheme, err)
	}
	return b, nil
}

func schemes() []string {
	var names []string
	for name := range openers {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func openMemory(_ context.Context, a *address) (store.Backend, error) {
	if len(a.hosts) > 0 || a.path != "" || a.user != "" {
		return nil, errors.New("it takes neither host nor path; the URL is just \"memory:\"")
	}
	if err := a.params.done(); err != nil {
		return nil, err
	}
	return memstore.New(nil), nil
}

// owning is a backend that closes its client after itself. It embeds the
// concrete backend's interface; Stores come from the backend itself, so that no
// ability is hidden.
type owning struct {
	store.Backend
	closeClient func() error
	once        sync.Once
}

// Close closes the backend and then, once, its client. Closing again is harmless.
func (o *owning) Close() error {
	err := o.Backend.Close()
	o.once.Do(func() {
		if cerr := o.closeClient(); err == nil {
			err = cerr
		}
	})
	return err
}
