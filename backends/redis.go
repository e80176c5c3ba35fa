package backends

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/redisstore"
)

const (
	redisPort    = "6379"
	sentinelPort = "26379"
)

// openRedis opens one server: Redis, Valkey or DragonflyDB.
func openRedis(ctx context.Context, a *address) (store.Backend, error) {
	db := a.params.number("db", 0, 0, 1<<16)
	if a.path != "" {
		n, err := strconv.Atoi(a.path)
		if err != nil || n < 0 {
			return nil, errors.New("the path must be a database number, as in /0")
		}
		if a.params.values.Has("db") {
			return nil, errors.New("the database is given twice, as path and as parameter db")
		}
		db = n
	}
	o, backendOptions, err := redisOptions(a, redisPort)
	if err != nil {
		return nil, err
	}
	if len(o.Addrs) > 1 {
		return nil, errors.New("it takes one host; for several use redis+sentinel:// or redis+cluster://")
	}
	o.DB = db
	return connectRedis(ctx, redis.NewClient(o.Simple()), backendOptions)
}

// openSentinel opens the primary that sentinels agree on, and follows failovers.
func openSentinel(ctx context.Context, a *address) (store.Backend, error) {
	if a.path == "" {
		return nil, errors.New("the path must be the name of the primary, as in redis+sentinel://host:26379/mymaster")
	}
	db := a.params.number("db", 0, 0, 1<<16)
	user, password := a.params.text("sentinel_user", ""), a.params.text("sentinel_password", "")
	o, backendOptions, err := redisOptions(a, sentinelPort)
	if err != nil {
		return nil, err
	}
	o.DB, o.MasterName, o.SentinelUsername, o.SentinelPassword = db, a.path, user, password
	return connectRedis(ctx, redis.NewFailoverClient(o.Failover()), backendOptions)
}

// openCluster opens a Redis Cluster from any of its nodes.
func openCluster(ctx context.Context, a *address) (store.Backend, error) {
	if a.path != "" && a.path != "0" {
		return nil, errors.New("it takes no path: a cluster has database 0 only")
	}
	o, backendOptions, err := redisOptions(a, redisPort)
	if err != nil {
		return nil, err
	}
	return connectRedis(ctx, redis.NewClusterClient(o.Cluster()), backendOptions)
}

// redisOptions reads what all Redis schemes share. The parameters of a single
// scheme must have been read before: it refuses the ones nobody asked for.
func redisOptions(a *address, port string) (*redis.UniversalOptions, *redisstore.Options, error) {
	hosts, err := a.withPort(port)
	if err != nil {
		return nil, nil, err
	}
	redisLog.route()
	p := &a.params
	o := &redis.UniversalOptions{
		Addrs:        hosts,
		Username:     a.user,
		Password:     a.password,
		PoolSize:     p.number("pool_size", 0, 1, 1<<16),
		DialTimeout:  p.duration("dial_timeout"),
		ReadTimeout:  p.duration("read_timeout"),
		WriteTimeout: p.duration("write_timeout"),
		// A caller's deadline must hold for its connection, too.
		ContextTimeoutEnabled: true,
	}
	if a.password != "" && a.user == "default" {
		o.Username = "" // AUTH with a password alone also works before ACLs
	}
	backendOptions := &redisstore.Options{
		Namespace:       p.text("namespace", ""),
		DisableBatching: !p.flag("batching", true),
		WaitReplicas:    p.number("wait", 0, 0, 1000),
		WaitTimeout:     p.duration("wait_timeout"),
	}
	secure := a.scheme == "rediss" || a.scheme == "valkeys"
	secure = p.flag("tls", secure)
	files := tlsFiles{
		ca:         p.text("tls_ca", ""),
		cert:       p.text("tls_cert", ""),
		key:        p.text("tls_key", ""),
		serverName: p.text("tls_server_name", ""),
	}
	if err := p.done(); err != nil {
		return nil, nil, err
	}
	switch {
	case secure:
		if o.TLSConfig, err = files.config(); err != nil {
			return nil, nil, err
		}
	case files != tlsFiles{}:
		return nil, nil, errors.New("TLS parameters need tls=on or the scheme rediss://")
	}
	return o, backendOptions, nil
}

// connectRedis makes sure that the server answers before it is handed out.
func connectRedis(ctx context.Context, client redis.UniversalClient, o *redisstore.Options) (store.Backend, error) {
	b, err := redisstore.New(client, o)
	if err != nil {
		client.Close()
		return nil, err
	}
	// The least rights that the sessions need do not include PING: a server that
	// refuses it has answered, and has let us in.
	if err := client.Ping(ctx).Err(); err != nil && !redis.HasErrorPrefix(err, "NOPERM") {
		b.Close()
		client.Close()
		return nil, fmt.Errorf("the server does not answer: %w", err)
	}
	return &owning{Backend: b, closeClient: client.Close}, nil
}

// tlsFiles names what a TLS connection uses.
type tlsFiles struct{ ca, cert, key, serverName string }

func (f tlsFiles) config() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: f.serverName}
	if f.ca != "" {
		pem, err := os.ReadFile(f.ca)
		if err != nil {
			return nil, fmt.Errorf("parameter tls_ca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, errors.New("parameter tls_ca: the file holds no PEM certificate")
		}
	}
	if (f.cert == "") != (f.key == "") {
		return nil, errors.New("parameters tls_cert and tls_key belong together; give both")
	}
	if f.cert != "" {
		pair, err := tls.LoadX509KeyPair(f.cert, f.key)
		if err != nil {
			return nil, fmt.Errorf("parameters tls_cert and tls_key: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
