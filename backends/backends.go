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
//	connect_timeout  how long Open tries to reach the server (default 10s)
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
//	timeout          how long one operation waits for the cluster
package backends

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/memstore"
)

const (
	noServer    = "the server does not answer; check the host, the port and whether it wants TLS"
	noSentinel  = "no primary was found; check the addresses of the sentinels and the primary's name"
	noNode      = "the cluster does not answer; check the addresses of its nodes"
	noHazelcast = "the cluster cannot be reached; check the addresses and the cluster name"
)

// openers maps each scheme to what opens it.
var openers = map[string]opener{
	"memory":         {openMemory, ""},
	"redis":          {openRedis, noServer},
	"rediss":         {openRedis, noServer},
	"valkey":         {openRedis, noServer},
	"valkeys":        {openRedis, noServer},
	"dragonfly":      {openRedis, noServer},
	"redis+sentinel": {openSentinel, noSentinel},
	"redis+cluster":  {openCluster, noNode},
	"hazelcast":      {openHazelcast, noHazelcast},
}

// Options configures [OpenWith]. The zero value is ready to use.
type Options struct {
	// Logger gets the lines that the go-redis client logs, such as failed
	// dials and what Sentinel says, at level Warn. No line has an ID of a
	// session or a server's reply in it. Nil drops them.
	//
	// That client has one log for the whole process. The first Open of a Redis
	// scheme takes it over, for clients of others as well; call redis.SetLogger
	// after that to have it back. Where several open backends name loggers, each of
	// these gets every line.
	Logger *slog.Logger
}

// Open connects to the server that url names and returns its backend, together
// with the client: closing the backend closes both. An unreachable server, a wrong
// password and a malformed URL are errors here and not at the first use. No error
// text contains the password.
//
// Open returns when ctx ends or the connect_timeout of the URL has passed, 10
// seconds unless the URL says otherwise. Its error is a
// [context.DeadlineExceeded] then.
//
// See the package comment for the URLs.
func Open(ctx context.Context, url string) (store.Backend, error) { return OpenWith(ctx, url, nil) }

// OpenWith is [Open] with options. A nil opts means defaults.
func OpenWith(ctx context.Context, url string, opts *Options) (store.Backend, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	a, err := parse(url)
	if err != nil {
		return nil, fmt.Errorf("backends: cannot use the store URL: %w", err)
	}
	opener, ok := openers[a.scheme]
	if !ok {
		return nil, fmt.Errorf("backends: unknown scheme %q in the store URL; known are %s", a.scheme, strings.Join(schemes(), ", "))
	}
	remove := func() {}
	if o.Logger != nil {
		remove = redisLog.add(o.Logger)
	}
	b, err := opener.connect(ctx, a)
	if err != nil {
		remove()
		return nil, fmt.Errorf("backends: %s: %w", a.scheme, err)
	}
	if o.Logger != nil {
		b = &owning{Backend: b, closeClient: func() error { remove(); return nil }}
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
