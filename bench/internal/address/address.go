// Package address handles the URLs of servers: what of them may be shown, and how
// the rivals' clients are made from them.
package address

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Namespace is what the tool's own sessions are kept under on a server, unless the
// URL names another one.
const Namespace = "storebench"

// Redact returns the URL without user, password and parameters.
func Redact(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme == "" {
		return "(unreadable URL)"
	}
	if u.Host == "" {
		return u.Scheme + ":"
	}
	return u.Scheme + "://" + u.Host + u.Path
}

// Kind returns "memory", "redis", "hazelcast" or "" for other schemes.
func Kind(raw string) string {
	scheme, _, _ := strings.Cut(raw, ":")
	switch scheme {
	case "memory", "hazelcast":
		return scheme
	case "redis", "rediss", "valkey", "valkeys", "dragonfly", "redis+sentinel", "redis+cluster":
		return "redis"
	}
	return ""
}

// Single reports whether raw names one server that the rivals' clients and the
// delaying proxy can be pointed at.
func Single(raw string) bool {
	scheme, _, _ := strings.Cut(raw, ":")
	return Kind(raw) == "redis" && !strings.Contains(scheme, "+") && scheme != "rediss" && scheme != "valkeys"
}

// Cluster reports whether raw names a Redis cluster without TLS.
func Cluster(raw string) bool {
	scheme, _, _ := strings.Cut(raw, ":")
	return scheme == "redis+cluster"
}

// Own returns the URL for the tool's own sessions, with a namespace.
func Own(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme == "memory" {
		return raw
	}
	q := u.Query()
	if !q.Has("namespace") {
		q.Set("namespace", Namespace)
		u.RawQuery = q.Encode()
	}
	return u.String()
}

// WithHost returns the URL with another host and port.
func WithHost(raw, host string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return raw
	}
	u.Host = host
	return u.String()
}

// Host returns host:port of a Redis URL.
func Host(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	port := u.Port()
	if port == "" {
		port = "6379"
	}
	return u.Hostname() + ":" + port
}

// Redis returns the options of a plain Redis client for the URL. Its parameters
// are the library's own, and not those of other clients.
func Redis(raw string) (*redis.Options, error) {
	u, err := url.Parse(raw)
	if err != nil || !Single(raw) {
		return nil, fmt.Errorf("the rivals need a redis://host:port URL, not %s", Redact(raw))
	}
	u.Scheme = "redis"
	db := u.Query().Get("db")
	u.RawQuery = ""
	if db != "" && strings.Trim(u.Path, "/") == "" {
		u.Path = "/" + db
	}
	o, err := redis.ParseURL(u.String())
	if err != nil {
		return nil, fmt.Errorf("cannot use the URL %s for a rival", Redact(raw))
	}
	return o, nil
}

// RedisCluster returns the options of a plain client for the URL of a cluster.
func RedisCluster(raw string) (*redis.ClusterOptions, error) {
	u, err := url.Parse(raw)
	if err != nil || !Cluster(raw) {
		return nil, fmt.Errorf("it takes a redis+cluster://host:port URL, not %s", Redact(raw))
	}
	o := &redis.ClusterOptions{Username: u.User.Username()}
	o.Password, _ = u.User.Password()
	for h := range strings.SplitSeq(u.Host, ",") {
		if !strings.Contains(h, ":") {
			h += ":6379"
		}
		o.Addrs = append(o.Addrs, h)
	}
	return o, nil
}

// Hazelcast returns the members, the cluster's name and the credentials of a
// Hazelcast URL.
func Hazelcast(raw string) (hosts []string, cluster, user, password string, err error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, "", "", "", fmt.Errorf("cannot read the URL %s", Redact(raw))
	}
	for h := range strings.SplitSeq(u.Host, ",") {
		if !strings.Contains(h, ":") {
			h += ":5701"
		}
		hosts = append(hosts, h)
	}
	password, _ = u.User.Password()
	return hosts, strings.Trim(u.Path, "/"), u.User.Username(), password, nil
}
