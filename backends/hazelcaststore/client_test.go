package hazelcaststore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hazelcast/hazelcast-go-client"
	members "github.com/hazelcast/hazelcast-go-client/cluster"
	"github.com/hazelcast/hazelcast-go-client/hzerrors"
	"github.com/hazelcast/hazelcast-go-client/logger"
	"github.com/hazelcast/hazelcast-go-client/types"
	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/testserver"
)

// settings are those of a client on c.
func settings(c *testserver.HazelcastCluster) hazelcast.Config {
	config := hazelcast.NewConfig()
	config.Cluster.Name = c.ClusterName
	config.Cluster.Network.SetAddresses(c.Addrs...)
	config.Cluster.ConnectionStrategy.Timeout = types.Duration(time.Minute)
	config.Cluster.ConnectionStrategy.ReconnectMode = members.ReconnectModeOn
	return config
}

// A cluster that refuses the client is not asked for as long as one that is silent.
func TestOpenIsRefused(t *testing.T) {
	config := settings(testserver.SharedHazelcast(t))
	config.Cluster.Name = "no-such-cluster"
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Second) // the client would try for a minute
	defer cancel()
	b, err := Open(ctx, config, namespace())
	if b != nil || !errors.Is(err, hzerrors.ErrAuthentication) || !strings.Contains(err.Error(), "cluster name") {
		t.Errorf("Open with a wrong cluster name = %v, %v, want %v", b, err, hzerrors.ErrAuthentication)
	}
	if ctx.Err() != nil {
		t.Errorf("Open with a wrong cluster name went on until %v", ctx.Err())
	}
}

// What the client says about connecting is in the error.
func TestOpenSaysWhy(t *testing.T) {
	config := settings(testserver.SharedHazelcast(t))
	config.Cluster.Network.SetAddresses("127.0.0.1:1")
	config.Cluster.ConnectionStrategy.Timeout = types.Duration(300 * time.Millisecond)
	b, err := Open(t.Context(), config, namespace())
	if b != nil || err == nil || !strings.Contains(err.Error(), "refused") || strings.Contains(err.Error(), "\n") {
		t.Errorf("Open without a member = %v, %q, want one line that says that the connection was refused", b, err)
	}
}

// A client that has lost the cluster is replaced under the backend.
func TestClientIsReplaced(t *testing.T) {
	opts := namespace()
	b, err := Open(t.Context(), settings(testserver.SharedHazelcast(t)), opts)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	s, err := b.Create(t.Context(), store.NewID(), nil, store.Terms{Lease: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	before := b.client.Load()
	o := b.own.Load()
	o.since.Store(time.Now().Add(-replaceAfter).UnixNano())
	b.failed() // as a call does that has lost its connection
	for b.client.Load() == before {
		time.Sleep(time.Millisecond)
	}
	for range 10 {
		if err := s.Set(t.Context(), "k", []byte("1")); err != nil {
			t.Fatalf("Set with the new client = %v, want no error", err)
		}
	}
	if o.since.Load() != 0 {
		t.Error("after a success failures count on")
	}
	for range 2 {
		if err := b.Close(); err != nil {
			t.Errorf("Close = %v, want no error", err)
		}
	}
	if b.client.Load().Running() {
		t.Error("after Close the client runs")
	}
}

// All members of a round must have refused the client, and no debug message is asked for
// its text.
func TestLastWords(t *testing.T) {
	const (
		refusal = "cannot connect to %s: authentication error"
		silence = "cannot connect to %s: connection refused"
	)
	for _, tt := range []struct {
		name      string
		addresses int
		said      []string // format and address
		want      bool
	}{
		{"the only one", 1, []string{refusal, "a:1"}, true},
		{"one of two", 2, []string{refusal, "a:1"}, false},
		{"both", 2, []string{refusal, "a:1", refusal, "b:1"}, true},
		{"one, and the other is silent", 2, []string{refusal, "a:1", silence, "b:1"}, false},
		{"the same, in the next round both", 2, []string{refusal, "a:1", silence, "b:1", refusal, "a:1", refusal, "b:1"}, true},
		{"the same in two rounds", 2, []string{refusal, "a:1", silence, "b:1", refusal, "a:1", silence, "b:1"}, false},
		{"nobody knows how many", 0, []string{refusal, "a:1", refusal, "a:2"}, false},
		{"nobody knows how many, until the next round", 0, []string{refusal, "a:1", refusal, "a:2", refusal, "a:1"}, true},
		{"silent twice", 1, []string{silence, "a:1", silence, "a:1"}, false},
	} {
		w := &lastWords{addresses: tt.addresses}
		ctx, cancel := context.WithCancelCause(t.Context())
		w.begin(cancel)
		for i := 0; i < len(tt.said); i += 2 {
			w.Log(logger.WeightError, func() string { return fmt.Sprintf(tt.said[i], tt.said[i+1]) })
			w.Log(logger.WeightDebug, func() string {
				t.Errorf("%s: a debug message was asked for its text", tt.name)
				return ""
			})
		}
		if got := errors.Is(context.Cause(ctx), errRefused); got != tt.want {
			t.Errorf("%s: the start is ended: %v, want %v", tt.name, got, tt.want)
		}
		cancel(nil)
	}
	for _, tt := range []struct {
		addresses []string
		want      int
	}{{[]string{"h:1"}, 1}, {[]string{"h:1", "[::1]:2"}, 2}, {[]string{"h:1", "h"}, 0}, {nil, 0}} {
		if got := known(tt.addresses); got != tt.want {
			t.Errorf("known(%q) = %d, want %d", tt.addresses, got, tt.want)
		}
	}
}
