package backends

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/redisstore"
	"github.com/sessionkv/store/internal/keyspace"
)

const (
	redisPort    = "6379"
	sentinelPort = "26379"
)

// A redisURL is what a URL of the Redis schemes says.
type redisURL struct {
	client *redis.UniversalOptions
	store  *redisstore.Options
	guard  *guard                            // nil for a cluster
	hooks  func(redis.UniversalClient) error // Options.Redis, may be nil
}

// openRedis opens one server: Redis, Valkey or DragonflyDB.
func openRedis(a *address, o *Options) (dial, error) {
	db := a.params.number("db", 0, 0, 1<<16)
	if a.path != "" {
		n, err := strconv.Atoi(a.path)
		if err != nil || n < 0 {
			return nil, errors.New("the path must be a database number, as in /0")
		}
		if a.params.has("db") {
			return nil, errors.New("the database is given twice, as path and as parameter db")
		}
		db = n
	}
	cache := cacheOf(a)
	u, err := readRedis(a, redisPort, o)
	if err != nil {
		return nil, err
	}
	if len(u.client.Addrs) > 1 {
		return nil, errors.New("it takes one host; for several use redis+sentinel:// or redis+cluster://")
	}
	simple := u.client.Simple()
	simple.DB, u.store.Cache = db, cache
	return u.dial(func() redis.UniversalClient { return redis.NewClient(simple) }), nil
}

// openUnix opens the server behind a socket of this machine.
func openUnix(a *address, o *Options) (dial, error) {
	if len(a.hosts) > 0 {
		return nil, errors.New("it takes no host but the path of a socket, as in redis+unix:///run/redis.sock")
	}
	if a.path == "" {
		return nil, errors.New("the path of the socket is missing, as in redis+unix:///run/redis.sock")
	}
	db := a.params.number("db", 0, 0, 1<<16)
	cache := cacheOf(a)
	a.hosts = []string{"localhost"}
	u, err := readRedis(a, redisPort, o)
	if err != nil {
		return nil, err
	}
	if u.client.TLSConfig != nil {
		return nil, errors.New("a socket of this machine has no TLS; leave the tls parameters out")
	}
	simple := u.client.Simple()
	simple.Network, simple.Addr = "unix", "/"+a.path
	simple.DB, u.store.Cache = db, cache
	return u.dial(func() redis.UniversalClient { return redis.NewClient(simple) }), nil
}

// openSentinel opens the primary that sentinels agree on, and follows failovers.
func openSentinel(a *address, o *Options) (dial, error) {
	if a.path == "" {
		return nil, errors.New("the path must be the name of the primary, as in redis+sentinel://host:26379/mymaster")
	}
	db := a.params.number("db", 0, 0, 1<<16)
	user, password := a.params.text("sentinel_user"), a.params.text("sentinel_password")
	u, err := readRedis(a, sentinelPort, o)
	if err != nil {
		return nil, err
	}
	if user != "" && password == "" {
		return nil, errors.New("sentinel_user needs a sentinel_password")
	}
	c := u.client
	c.DB, c.MasterName, c.SentinelUsername, c.SentinelPassword = db, a.path, user, password
	return u.dial(func() redis.UniversalClient { return redis.NewFailoverClient(c.Failover()) }), nil
}

// openCluster opens a Redis Cluster from any of its nodes.
func openCluster(a *address, o *Options) (dial, error) {
	if a.path != "" && a.path != "0" {
		return nil, errors.New("it takes no path: a cluster has database 0 only")
	}
	u, err := readRedis(a, redisPort, o)
	if err != nil {
		return nil, err
	}
	return u.dial(func() redis.UniversalClient { return redis.NewClusterClient(u.client.Cluster()) }), nil
}

// cacheOf reads the parameters of the client-side cache, which only a single
// server has. It is nil without one.
func cacheOf(a *address) *redisstore.CacheOptions {
	p := &a.params
	on, staleness := p.flag("cache", false), p.duration("cache_staleness")
	switch {
	case on && p.number("protocol", 3, 2, 3) == 2:
		p.fail("cache=on needs protocol 3, by which the server tells what has changed")
	case !on && staleness > 0:
		p.fail("cache_staleness needs cache=on")
	}
	if !on || p.err != nil {
		return nil
	}
	return &redisstore.CacheOptions{MaxStaleness: staleness}
}

// defaultLifetime is how old a connection may become. A connection to a server
// that was replaced behind its name or its load balancer ends with it at the latest.
const defaultLifetime = 5 * time.Minute

// readRedis reads what all Redis schemes share. The parameters of a single
// scheme must have been read before: it refuses the ones nobody asked for.
func readRedis(a *address, port string, o *Options) (*redisURL, error) {
	hosts, err := a.withPort(port)
	if err != nil {
		return nil, err
	}
	if a.user != "" && a.password == "" {
		return nil, errors.New("it has a user name without a password; write user:password@ or, for the default user, :password@")
	}
	redisLog.route()
	p := &a.params
	c := &redis.UniversalOptions{
		Addrs:           hosts,
		Username:        a.user,
		Password:        a.password,
		Protocol:        p.number("protocol", 3, 2, 3),
		PoolSize:        p.number("pool_size", 0, 1, 1<<16),
		DialTimeout:     p.duration("dial_timeout"),
		ReadTimeout:     p.duration("read_timeout"),
		WriteTimeout:    p.duration("write_timeout"),
		ConnMaxLifetime: cmp.Or(p.duration("conn_max_lifetime"), defaultLifetime),
		// A caller's deadline must hold for its connection, too.
		ContextTimeoutEnabled: true,
	}
	c.ConnMaxLifetimeJitter = c.ConnMaxLifetime / 10
	if a.password != "" && a.user == "default" {
		c.Username = "" // AUTH with a password alone also works before ACLs
	}
	if o.Credentials != nil {
		c.CredentialsProviderContext = o.Credentials
	}
	backendOptions := &redisstore.Options{
		Namespace:       p.text("namespace"),
		DisableBatching: !p.flag("batching", true),
		WaitReplicas:    p.number("wait", 0, 0, 1000),
		WaitTimeout:     p.duration("wait_timeout"),
		Logger:          o.Logger,
	}
	if c.TLSConfig, err = readTLS(a); err != nil {
		return nil, err
	}
	if _, err := keyspace.Parse(backendOptions.Namespace); err != nil {
		return nil, fmt.Errorf("parameter namespace: %w", err)
	}
	u := &redisURL{client: c, store: backendOptions, hooks: o.Redis}
	if a.scheme == "redis+cluster" {
		d := newDialer(c)
		c.Dialer, a.trouble = d.dial, d.trouble
	} else {
		u.guard = watch(c)
		a.trouble = u.guard.trouble
	}
	return u, nil
}

// dial makes sure that the server serves sessions before its client is handed out.
func (u *redisURL) dial(newClient func() redis.UniversalClient) dial {
	return func(ctx context.Context) (store.Backend, error) {
		redisLog.route()
		client := newClient()
		calmDown(client)
		if u.guard != nil {
			client.AddHook(u.guard)
		}
		if u.hooks != nil {
			if err := u.hooks(client); err != nil {
				_ = client.Close()
				return nil, fmt.Errorf("Options.Redis: %w", err)
			}
		}
		b, err := redisstore.New(client, u.store)
		if err != nil {
			_ = client.Close()
			return nil, err
		}
		if err := b.Check(ctx); err != nil {
			_ = b.Close()
			_ = client.Close()
			return nil, err
		}
		return &owning{Backend: b, closeClient: client.Close}, nil
	}
}
