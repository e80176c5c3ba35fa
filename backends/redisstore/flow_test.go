package redisstore_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/redisstore"
	"github.com/sessionkv/store/internal/testserver"
)

// Small writes share the fate of few large reads. A connection breaks when the replies to one
// pipeline are too many, as where the timeout is too short. Still no write becomes unknown,
// although nothing was known of the sizes before.
func TestSmallWritesBesideLargeReads(t *testing.T) {
	const n, size, patience = 64, 1 << 20, 5 << 20
	server := testserver.Redis(t, testserver.WithArgs("--loglevel", "warning"))
	p := newProxy(t, server.Addr)
	b := open(t, dial(t, "redis://"+p.addr), redisstore.Options{})
	_, reader := create(t, b, store.Entry{Key: "large", Value: make([]byte, size)})
	sessions := make([]store.Store, n)
	for i := range sessions {
		_, sessions[i] = create(t, b, store.Entry{Key: "small", Value: []byte("v")})
	}
	p.patience.Store(patience)
	var started, wg sync.WaitGroup
	server.Pause()
	for _, s := range sessions {
		started.Add(2)
		wg.Go(func() {
			started.Done()
			if v, err := reader.Get(context.Background(), "large"); err != nil || len(v) != size {
				t.Errorf("Get() = %d bytes, %v, want %d", len(v), err, size)
			}
		})
		wg.Go(func() {
			started.Done()
			if err := s.Delete(context.Background(), "small"); err != nil {
				t.Errorf("Delete() beside reads of large values = %v, want nil", err)
			}
		})
	}
	started.Wait()
	server.Resume()
	wg.Wait()
}

// Where no node of a cluster answers, nobody is kept beyond the end of his context. What was not
// sent is not unknown.
func TestClusterWithoutAWord(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close() // it never accepts
	for name, o := range map[string]redisstore.Options{"batching": {}, "one by one": {DisableBatching: true}, "WAIT": {WaitReplicas: 1}} {
		t.Run(name, func(t *testing.T) {
			client := redis.NewClusterClient(&redis.ClusterOptions{
				Addrs: []string{ln.Addr().String()}, DialTimeout: time.Hour, ReadTimeout: time.Hour, WriteTimeout: time.Hour,
			})
			defer client.Close()
			b := open(t, client, o)
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			for what, do := range map[string]func() error{
				"Create()": func() error { _, err := b.Create(ctx, store.NewID(), nil, store.Terms{Lease: lease}); return err },
				"Attach()": func() error { _, err := b.Attach(ctx, store.NewID(), store.Terms{}); return err },
				"Resume()": func() error { _, err := b.Resume(ctx, store.NewID(), store.Terms{Lease: lease}); return err },
			} {
				returned := make(chan error, 1)
				go func() { returned <- do() }()
				select {
				case err := <-returned:
					if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, store.ErrUnknownOutcome) && o == (redisstore.Options{}) {
						t.Errorf("%s = %v, want DeadlineExceeded and no unknown outcome", what, err)
					}
				case <-time.After(9 * time.Second): // less than the look-up's own bound
					t.Errorf("%s outlasts its context", what)
				}
			}
		})
	}
}
