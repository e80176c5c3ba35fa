// Package backends opens any backend from a URL, so that a program can be moved from memory to a
// server by configuration alone. It links every client. A program that uses one backend only
// imports that backend's package instead.
//
//	memory:
//	redis://user:password@host:6379/0       also valkey:// and dragonfly://
//	rediss://user:password@host:6379/0      TLS; also valkeys:// and dragonflys://
//	redis+unix://user:password@/run/redis.sock?db=0
//	redis+sentinel://host:26379,host:26379/primary-name
//	redis+cluster://host:7000,host:7001
//	hazelcast://host:5701,host:5702/cluster-name
//
// Special characters in a user name or password are written with % escapes.
// Unknown schemes and parameters, malformed values and missing hosts are errors.
// An error repeats nothing of the URL that may be a piece of a password.
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
//	conn_max_lifetime
//	                 how old a connection may become (default 5m)
//	protocol         3 (default) or 2: the version of the Redis protocol
//	batching         on (default) or off: merge concurrent operations
//	wait             replicas that must confirm a write (WAIT), 0 by default
//	wait_timeout     how long to wait for them
//	tls              on or off (rediss:// and its like mean on)
//	tls_ca, tls_cert, tls_key
//	                 PEM files, or their content itself with % escapes: the
//	                 authority to trust, a client certificate and its key
//	tls_server_name  the name to verify
//	tls_insecure_skip_verify
//	                 on: trust every certificate; for trials only
//
// A single server, that is redis:// and its like and redis+unix://, also takes:
//
//	cache            on or off (default): answer reads from a cache in this process
//	cache_staleness  how long the cache serves what it holds, should the
//	                 server's notices be lost (default 5s); see package redisstore.
//	                 The cache takes one more connection and 64 MiB at most
//
// Sentinel URLs also take sentinel_user and sentinel_password; user and password
// of the URL itself are those of the Redis servers. Passwords that change in time
// are given by [Options.Credentials].
//
// Hazelcast URLs take:
//
//	user, password   as part of the URL
//	timeout          how long one operation waits for the cluster
//	document_size    the most bytes of all keys and values of a session together
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

const (
	noServer    = "the server does not answer; check the host, the port and whether it wants TLS"
	noSocket    = "the server does not answer; check the path of its socket"
	noSentinel  = "no primary was found; check the addresses of the sentinels and the primary's name"
	noNode      = "the cluster does not answer; check the addresses of its nodes"
	noHazelcast = "the cluster cannot be reached; check the addresses and the cluster name"
)

// ErrURL is what an error of Open satisfies when the URL itself, with the options, cannot be used, whatever the server says.
var ErrURL = errors.New("the store URL cannot be used")

// A urlError is an error that satisfies ErrURL.
type urlError struct{ error }

func (e urlError) Is(target error) bool { return target == ErrURL }
func (e urlError) Unwrap() error        { return e.error }

// openers maps each scheme to what opens it.
var openers map[string]opener

func init() { // parse looks into openers, too
	openers = map[string]opener{
		"memory":         {openMemory, ""},
		"redis":          {openRedis, noServer},
		"rediss":         {openRedis, noServer},
		"redis+unix":     {openUnix, noSocket},
		"valkey":         {openRedis, noServer},
		"valkeys":        {openRedis, noServer},
		"dragonfly":      {openRedis, noServer},
		"dragonflys":     {openRedis, noServer},
		"redis+sentinel": {openSentinel, noSentinel},
		"redis+cluster":  {openCluster, noNode},
		"hazelcast":      {openHazelcast, noHazelcast},
	}
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
	a, err := parse(url)
	if err != nil {
		return nil, urlError{fmt.Errorf("backends: cannot use the store URL: %w", err)}
	}
	o := opts.withDefaults()
	if o.Credentials != nil && (a.user != "" || a.password != "") {
		return nil, urlError{errors.New("backends: cannot use the store URL: it has a user or password, and Options.Credentials gives others; leave one of them out")}
	}
	remove := redisLog.add(o.Logger)
	b, err := openers[a.scheme].connect(ctx, a, o)
	if err != nil {
		remove()
		return nil, &openError{a.scheme, err}
	}
	return &owning{Backend: b, closeClient: func() error { remove(); return nil }}, nil
}

// An openError says which kind of store could not be opened. The packages below begin
// their errors with a name of their own, which the scheme has said already.
type openError struct {
	scheme string
	err    error
}

func (e *openError) Error() string {
	text := e.err.Error()
	for _, name := range []string{"redis: ", "hazelcast: "} {
		text = strings.TrimPrefix(text, name)
	}
	return "backends: " + e.scheme + ": " + text
}

func (e *openError) Unwrap() error { return e.err }

func schemes() []string {
	var names []string
	for name := range openers {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

var errMemory = errors.New("the URL of the memory backend is just memory: with nothing behind it")

func openMemory(a *address, o *Options) (dial, error) {
	if len(a.hosts) > 0 || a.path != "" || a.user != "" || a.password != "" || len(a.params.names) > 0 {
		return nil, errMemory
	}
	if o.Credentials != nil {
		return nil, errNoCredentials
	}
	return func(context.Context) (store.Backend, error) { return memstore.New(nil), nil }, nil
}

var errNoCredentials = errors.New("Options.Credentials is for the Redis schemes only")

// owning is a backend that closes its client after itself. It embeds the
// concrete backend's interface; Stores come from the backend itself, so that no
// ability is hidden.
type owning struct {
	store.Backend
	closeClient func() error
	once        sync.Once
}

// Watch implements [store.Watcher].
func (o *owning) Watch(session store.Store, hint func()) (stop func(), err error) {
	return store.Watch(o.Backend, session, hint)
}

// Places implements [store.Placer].
func (o *owning) Places() func(id string) uint32 { return store.Places(o.Backend) }

// Indexer returns the [store.Indexer] of the backend.
func (o *owning) Indexer() (store.Indexer, error) { return store.AsIndexer(o.Backend) }

// Scanner returns the [store.Scanner] of the backend.
func (o *owning) Scanner() (store.Scanner, error) { return store.AsScanner(o.Backend) }

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
