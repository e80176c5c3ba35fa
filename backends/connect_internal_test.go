package backends

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessionkv/store"
)

// Every scheme that connects to something has the same bound, whatever its
// client does, and what connects later is closed.
func TestConnectIsBounded(t *testing.T) {
	for scheme, o := range openers {
		if scheme == "memory" {
			continue
		}
		for _, tt := range []struct {
			query    string
			deadline time.Duration // of the context; zero: none
			want     time.Duration
		}{
			{"", 0, defaultConnectTimeout},
			{"?connect_timeout=3s", 0, 3 * time.Second},
			{"?connect_timeout=3s", time.Second, time.Second},
			{"", time.Hour, defaultConnectTimeout},
		} {
			t.Run(scheme+tt.query, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					a, err := parse(scheme + "://host" + tt.query)
					if err != nil {
						t.Fatal(err)
					}
					ctx := t.Context()
					if tt.deadline > 0 {
						var cancel context.CancelFunc
						ctx, cancel = context.WithTimeout(ctx, tt.deadline)
						defer cancel()
					}
					release, closed := make(chan struct{}), make(chan struct{})
					o.open = func(*address, *Options) (dial, error) {
						return func(context.Context) (store.Backend, error) {
							<-release
							return &owning{Backend: nopBackend{}, closeClient: func() error { close(closed); return nil }}, nil
						}, nil
					}
					begin := time.Now()
					b, err := o.connect(ctx, a, new(Options))
					if b != nil || !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("connect() = %v, %v, want context.DeadlineExceeded", b, err)
					}
					if took := time.Since(begin); took != tt.want {
						t.Errorf("connect() took %v, want %v", took, tt.want)
					}
					close(release)
					<-closed
				})
			})
		}
	}
}

type nopBackend struct{ store.Backend }

func (nopBackend) Close() error { return nil }
