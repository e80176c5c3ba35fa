package hazelcaststore

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/hazelcaststore/internal/document"
	"github.com/sessionkv/store/internal/testserver"
)

// A session that a later version has written, in a format that this one cannot read, is left as it
// is. It can be told from others and destroyed, and it ends in time.
func TestSessionInANewerFormat(t *testing.T) {
	r := newRig(t, testserver.SharedHazelcast(t), namespace())
	ctx := t.Context()
	newer := func(t *testing.T, lease time.Duration) (id string, s store.Store, doc []byte) {
		id = store.NewID()
		s, err := r.b.Create(ctx, id, []store.Entry{{Key: "k", Value: []byte("0")}}, store.Terms{Lease: lease})
		if err != nil {
			t.Fatal(err)
		}
		// What a later version's write would leave: the header of this life, and the rest unreadable.
		const formatAt, frozen = 3, 36
		doc = bytes.Clone(s.(*handle).life.base.Bytes()[:frozen])
		doc[formatAt] = 0x7f
		doc = append(doc, "\x00\x00\x00\x00\x00\x00\x00\x00 as yet unknown"...)
		if err := r.raw.SetWithTTL(ctx, entryKey(id), doc, time.Minute); err != nil {
			t.Fatal(err)
		}
		return id, s, doc
	}
	t.Run("is refused", func(t *testing.T) {
		id, s, doc := newer(t, time.Minute)
		_, attach := r.b.Attach(ctx, id, store.Terms{})
		_, resume := r.b.Resume(ctx, id, store.Terms{Lease: time.Minute})
		_, create := r.b.Create(ctx, id, nil, store.Terms{Lease: time.Minute})
		_, get := s.Get(ctx, "k")
		for call, err := range map[string]error{
			"Attach": attach, "Resume": resume, "Create": create, "Get": get,
			"Set": s.Set(ctx, "k", nil), "Suspend": r.b.Suspend(ctx, s, time.Minute),
		} {
			if !errors.Is(err, document.ErrNewer) || errors.Is(err, store.ErrUnknownOutcome) {
				t.Errorf("%s = %v, want %v", call, err, document.ErrNewer)
			}
		}
		if got, err := r.raw.Get(ctx, entryKey(id)); err != nil || !bytes.Equal(got.([]byte), doc) {
			t.Errorf("the entry is %q, %v, want it untouched", got, err)
		}
	})
	t.Run("is destroyed", func(t *testing.T) {
		id, s, _ := newer(t, time.Minute)
		if err := s.Destroy(ctx); err != nil {
			t.Errorf("Destroy = %v, want no error", err)
		}
		if _, err := r.b.Attach(ctx, id, store.Terms{}); err != store.ErrNoSession {
			t.Errorf("Attach after that = %v, want %v", err, store.ErrNoSession)
		}
	})
	t.Run("ends in time", func(t *testing.T) {
		id, _, _ := newer(t, time.Millisecond)
		for {
			_, err := r.b.Attach(ctx, id, store.Terms{})
			if err == store.ErrNoSession {
				break
			}
			if !errors.Is(err, document.ErrNewer) {
				t.Fatalf("Attach = %v, want %v, and then %v", err, document.ErrNewer, store.ErrNoSession)
			}
		}
		if got, err := r.raw.Get(ctx, entryKey(id)); err != nil || got != nil {
			t.Errorf("the entry afterwards = %q, %v, want none", got, err)
		}
	})
}
