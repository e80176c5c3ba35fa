package redisstore

import (
	"context"
	"runtime"
	"time"

	"github.com/sessionkv/store"
)

// Merges reports whether the server of b gets merged scripts by now.
func Merges(b *Backend) bool { return b.merger != nil && b.merger.Ready() }

// AskNative asks the server of b whether it takes native writes, if that is not known
// yet, and waits for the answer.
func AskNative(ctx context.Context, b *Backend) {
	if n := b.native; n != nil {
		for n.told.Load() != able && time.Since(began) >= time.Duration(n.next.Load()) && ctx.Err() == nil {
			n.askNow(ctx)
			runtime.Gosched()
		}
	}
}

// WritesNatively asks the server of b whether it takes native writes, if that is not
// known yet, and reports the answer.
func WritesNatively(ctx context.Context, b *Backend) bool {
	AskNative(ctx, b)
	return b.native.ready()
}

// WriteByScript makes b, which is not in use yet, send no native writes.
func WriteByScript(b *Backend) {
	if b.native != nil {
		b.native.stop()
		b.native = nil
	}
}

// WithoutNotices makes b, which is not in use yet, tell nobody of ends.
func WithoutNotices(b *Backend) { b.notices.hub = nil }

// Waiting returns how many callers wait for reads of s that the cache has begun.
func Waiting(s store.Store) (n int) {
	if slot := s.(*handle).slot.Load(); slot != nil {
		slot.shard.mu.Lock()
		defer slot.shard.mu.Unlock()
		for _, f := range slot.fetches {
			n += f.callers
		}
	}
	return n
}

// Caches reports whether the cache of b is in use by now.
func Caches(b *Backend) bool { return b.cache.epoch.Load() != 0 }
