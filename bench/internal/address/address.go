// Package address handles the URLs of servers: what of them may be shown, and how the rivals' clients are made from them.
package address

import (
	"cmp"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Namespace is what the tool's own sessions are kept under on a server, unless the URL names another one.
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

// Single reports whether raw names one Redis server without TLS, which every rival and the delaying proxy can be pointed at.
func Single(raw string) bool {
	scheme, _, _ := strings.Cut(raw, ":")
	return Kind(raw) == "redis" && !strings.Contains(scheme, "+") && scheme != "rediss" && scheme != "valkeys"
}

// Cluster reports whether raw names a Redis cluster without TLS.
func Cluster(raw string) bool { return strings.HasPrefix(raw, "redis+cluster:") }

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

// Redis returns the options of plain clients for the URL of a server or a cluster. Its parameters are the library's own, and not
// those of other clients.
func Redis(raw string) (*redis.UniversalOptions, error) {
	u, err := url.Parse(raw)
	if err != nil || !Single(raw) && !Cluster(raw) {
		return nil, fmt.Errorf("the rivals need a redis://host:port or redis+cluster://host:port URL, not %s", Redact(raw))
	}
	o := &redis.UniversalOptions{Addrs: hosts(u, "6379"), Username: u.User.Username(), IsClusterMode: Cluster(raw)}
	o.Password, _ = u.User.Password()
	if o.DB, err = strconv.Atoi(cmp.Or(strings.Trim(u.Path, "/"), u.Query().Get("db"), "0")); err != nil {
		return nil, fmt.Errorf("cannot use the URL %s for a rival", Redact(raw))
	}
	return o, nil
}

// RedisServer returns the options of clients that know no cluster.
func RedisServer(raw string) (*redis.Options, error) {
	o, err := Redis(raw)
	if err != nil {
		return nil, err
	}
	if o.IsClusterMode {
		return nil, fmt.Errorf("this rival needs a redis://host:port URL, not %s", Redact(raw))
	}
	return o.Simple(), nil
}

// Hazelcast returns the members, the cluster's name and the credentials of a Hazelcast URL.
func Hazelcast(raw string) (members []string, cluster, user, password string, err error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, "", "", "", fmt.Errorf("cannot read the URL %s", Redact(raw))
	}
	password, _ = u.User.Password()
	return hosts(u, "5701"), strings.Trim(u.Path, "/"), u.User.Username(), password, nil
}

// hosts returns the hosts of a URL, with ports.
func hosts(u *url.URL, port string) (all []string) {
	for h := range strings.SplitSeq(u.Host, ",") {
		if !strings.Contains(h, ":") {
			h += ":" + port
		}
		all = append(all, h)
	}
	return all
}
