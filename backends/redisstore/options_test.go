package redisstore_test

import (
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sessionkv/store/backends/redisstore"
)

func TestNew(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	replicas := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"127.0.0.1:1"}, ReadOnly: true})
	nearest := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"127.0.0.1:1"}, RouteByLatency: true})
	ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"a": "127.0.0.1:1"}})
	for _, c := range []redis.UniversalClient{client, replicas, nearest, ring} {
		t.Cleanup(func() { c.Close() })
	}
	tests := []struct {
		name   string
		client redis.UniversalClient
		opts   *redisstore.Options
		want   string // part of the error
	}{
		{"no options", client, nil, ""},
		{"nil", nil, nil, "client is nil"},
		{"nil pointer", (*redis.Client)(nil), nil, "client is nil"},
		{"nil cluster", (*redis.ClusterClient)(nil), nil, "client is nil"},
		{"ring", ring, nil, "*redis.Ring cannot serve sessions"},
		{"replicas", replicas, nil, "reads from replicas"},
		{"nearest", nearest, nil, "reads from replicas"},
		{"namespace", client, &redisstore.Options{Namespace: "a:b"}, "invalid namespace"},
		{"negative", client, &redisstore.Options{WaitReplicas: -1}, "must not be negative"},
		{"wait too long", client, &redisstore.Options{WaitReplicas: 1, WaitTimeout: time.Minute}, "shorter than the client's ReadTimeout"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, err := redisstore.New(tt.client, tt.opts)
			if b != nil {
				b.Close()
			}
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("New() = %v, want an error that contains %q", err, tt.want)
			}
		})
	}
}
