package hazelcaststore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/keyspace"
	"github.com/sessionkv/store/internal/median"
	"github.com/sessionkv/store/internal/testserver"
)

var userID = store.Key[string]("userId")

// Each operation alternates with the raw client's call for as many bytes, so that both meet the
// same noise. The figure ns/op is both together; the medians of each and their ratio are reported.
func BenchmarkBesideRawClient(b *testing.B) {
	r := newRig(b, testserver.SharedHazelcast(b), namespace())
	r.b.grid = r.raw
	patient := context.Background()
	bounded, cancel := context.WithTimeout(patient, time.Hour)
	defer cancel()
	sessions, err := store.New(r.b, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer sessions.Close(patient)
	for _, size := range []int{300, 4 << 10} {
		id := store.NewID()
		sess, err := sessions.Create(patient, id)
		if err != nil {
			b.Fatal(err)
		}
		h, err := r.b.Attach(patient, id, store.Terms{})
		if err != nil {
			b.Fatal(err)
		}
		if err := errors.Join(h.Set(patient, "filler", make([]byte, size-120)), userID.Set(patient, sess, "u-4217")); err != nil {
			b.Fatal(err)
		}
		doc, err := r.b.read(patient, keyspace.Escape(id))
		if err != nil {
			b.Fatal(err)
		}
		key := probeKey("bench")
		one, two := doc, append(bytes.Clone(doc[:len(doc)-1]), doc[len(doc)-1]^1)
		if err := r.raw.SetWithTTL(patient, key, one, time.Hour); err != nil {
			b.Fatal(err)
		}
		rawGet := func() error { _, err := r.raw.Get(patient, key); return err }
		rawReplace := func() error {
			ok, err := r.raw.ReplaceIfSame(patient, key, one, two)
			if !ok && err == nil {
				err = errors.New("ReplaceIfSame = false")
			}
			one, two = two, one
			return err
		}
		for _, c := range []struct {
			name       string
			raw, typed func() error
		}{
			{"get", rawGet, func() error { _, err := userID.Get(patient, sess); return err }},
			{"get-with-deadline", rawGet, func() error { _, err := userID.Get(bounded, sess); return err }},
			{"set", rawReplace, func() error { return userID.Set(patient, sess, "u-4217") }},
			{"set-with-deadline", rawReplace, func() error { return userID.Set(bounded, sess, "u-4217") }},
		} {
			b.Run(fmt.Sprintf("op=%s/size=%d", c.name, size), func(b *testing.B) {
				var raws, typeds []float64
				for b.Loop() {
					start := time.Now()
					err := c.raw()
					half := time.Now()
					err = errors.Join(err, c.typed())
					typeds = append(typeds, float64(time.Since(half)))
					raws = append(raws, float64(half.Sub(start)))
					if err != nil {
						b.Fatal(err)
					}
				}
				raw, typed := median.Of(raws), median.Of(typeds)
				b.ReportMetric(raw, "raw-ns")
				b.ReportMetric(typed, "typed-ns")
				b.ReportMetric(typed/raw, "ratio")
			})
		}
		if err := r.raw.Delete(patient, key); err != nil {
			b.Error(err)
		}
	}
}

// One call of Renew for many sessions.
func BenchmarkRenew(b *testing.B) {
	r := newRig(b, testserver.SharedHazelcast(b), namespace())
	r.b.grid = r.raw
	ctx := b.Context()
	list := make([]store.Store, 512)
	for i := range list {
		s, err := r.b.Create(ctx, store.NewID(), []store.Entry{{Key: "userId", Value: make([]byte, 200)}}, store.Terms{Lease: 10 * time.Minute})
		if err != nil {
			b.Fatal(err)
		}
		list[i] = s
	}
	lease := 10 * time.Minute
	for b.Loop() {
		lease += time.Second // never in vain
		for _, err := range r.b.Renew(ctx, list, min(lease, 50*time.Minute)) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*len(list)), "µs/session")
}

// An instant is a grid that has one entry and answers at once, so that what is measured
// on it is the backend's own part.
type instant struct {
	grid
	doc []byte
}

func (g *instant) Get(context.Context, any) (any, error) { return g.doc, nil }

func (g *instant) ReplaceIfSame(_ context.Context, _, _, next any) (bool, error) {
	g.doc = next.([]byte)
	return true, nil
}

// What a small write to a session of many keys takes of this process, without the client
// and the cluster.
func BenchmarkOwnPartOfSet(b *testing.B) {
	backend := open(b, dial(b, testserver.SharedHazelcast(b)), namespace())
	ctx := b.Context()
	for _, keys := range []int{3, 1024} {
		values := make([]store.Entry, keys)
		for i := range values {
			values[i] = store.Entry{Key: fmt.Sprintf("key-%04d", i), Value: fmt.Appendf(nil, "value-%06d", i)}
		}
		s, err := backend.Create(ctx, store.NewID(), values, store.Terms{Lease: time.Minute, MaxKeys: 2048})
		if err != nil {
			b.Fatal(err)
		}
		doc, err := backend.read(ctx, s.(*handle).life.key)
		if err != nil {
			b.Fatal(err)
		}
		cluster := backend.grid
		b.Run(fmt.Sprint("keys=", keys), func(b *testing.B) {
			backend.grid = &instant{grid: cluster, doc: doc}
			defer func() { backend.grid = cluster }()
			b.ReportAllocs()
			value := []byte("value-000000")
			var times []float64
			for b.Loop() {
				start := time.Now()
				if err := s.Set(ctx, "key-0002", value); err != nil {
					b.Fatal(err)
				}
				times = append(times, float64(time.Since(start)))
			}
			b.ReportMetric(median.Of(times), "median-ns")
		})
	}
}
