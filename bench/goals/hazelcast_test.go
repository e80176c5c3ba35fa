package goals

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/bench/internal/address"
	"github.com/sessionkv/store/bench/internal/cpu"
	"github.com/sessionkv/store/bench/internal/report"
	"github.com/sessionkv/store/bench/internal/system"
	"github.com/sessionkv/store/internal/keyspace"
)

// TestHazelcast compares typed operations with the raw client's calls for the same document.
func TestHazelcast(t *testing.T) {
	ctx, url := t.Context(), hazelcast(t)
	ss := open(t, url, &store.Options{Lease: 5 * time.Minute})
	id := store.NewID()
	s, err := ss.Create(ctx, id, userID.To(names[0]), who.To(sampleIdentity), room.To("room-17"))
	check(t, err)
	raw, err := system.HazelcastClient(ctx, url)
	check(t, err)
	later(t, raw.Shutdown)
	sessions, err := raw.GetMap(ctx, namespace(t, url)+":sessions")
	check(t, err)
	m, err := raw.GetMap(ctx, system.RawMap)
	check(t, err)
	v, err := sessions.Get(ctx, keyspace.Escape(id))
	check(t, err)
	one, ok := v.([]byte)
	if !ok || len(one) == 0 {
		t.Fatalf("the session's document is a %T, not bytes", v)
	}
	const probe = "goal-probe" // the key of the copy
	check(t, m.SetWithTTL(ctx, probe, one, time.Hour))
	later(t, func(ctx context.Context) error { return m.Delete(ctx, probe) })
	two := append(bytes.Clone(one[:len(one)-1]), one[len(one)-1]^1)

	calls := 0
	for _, c := range []struct {
		goal       string
		most       float64
		typed, raw func() error
	}{
		{
			"Hazelcast: typed Get beside the raw Get of the same document", 1.15,
			func() error { _, err := userID.Get(ctx, s); return err },
			func() error { _, err := m.Get(ctx, probe); return err },
		},
		{
			"Hazelcast: undisturbed typed Set beside the raw ReplaceIfSame", 1.3,
			func() error { calls++; return userID.Set(ctx, s, names[calls&1]) },
			func() error {
				ok, err := m.ReplaceIfSame(ctx, probe, one, two)
				if err == nil && !ok {
					err = errLost
				}
				one, two = two, one
				return err
			},
		},
	} {
		ns := turns(t, 4**duration, 1, again(c.typed), again(c.raw))
		atMost(c.most, "×").check(t, c.goal, ratio(ns[0], ns[1]), "%s beside %s for %d bytes", took(ns[0]), took(ns[1]), len(one))
	}
}

func namespace(t *testing.T, raw string) string {
	u, err := url.Parse(address.Own(raw))
	check(t, err)
	return u.Query().Get("namespace")
}

// TestHazelcastSizes writes a small value into documents of several sizes.
func TestHazelcastSizes(t *testing.T) {
	ss := open(t, hazelcast(t), &store.Options{Lease: 10 * time.Minute})
	sizes := []int{1 << 10, 64, 8 << 10, 16 << 10, 45 << 10, 64 << 10} // the others are compared with the first
	var calls []func(int) error
	for _, size := range sizes {
		s, err := ss.Create(t.Context(), store.NewID(), userID.To(names[0]), store.Key[[]byte]("filler").To(make([]byte, size)))
		check(t, err)
		n := 0
		calls = append(calls, again(func() error { n++; return userID.Set(t.Context(), s, names[n&1]) }))
	}
	ns := turns(t, 4**duration, 1, calls...)
	for i, size := range sizes[1:] {
		atMost(3, "×").check(t, fmt.Sprintf("Hazelcast: Set in a session of %d bytes beside one of 1024", size),
			ratio(ns[i+1], ns[0]), "%s beside %s", took(ns[i+1]), took(ns[0]))
	}
}

// TestHazelcastLoad loads many keys at once from Redis and from Hazelcast.
func TestHazelcastLoad(t *testing.T) {
	const few, many = 1024, 4096
	redis, hz := redisServers(t)[0], hazelcast(t)
	var loads []func(int) error
	for _, c := range []struct {
		url string
		n   int
	}{{redis, few}, {hz, few}, {hz, many}} {
		values, into, got := make([]store.Change, c.n), make([]store.Target, c.n), make([]string, c.n)
		for k := range c.n {
			key := store.Key[string](fmt.Sprintf("key-%04d", k))
			values[k], into[k] = key.To(fmt.Sprintf("value-%06d", k)), key.Into(&got[k])
		}
		s, err := open(t, c.url, &store.Options{Lease: 10 * time.Minute, Limits: store.Limits{Keys: -1}}).Create(t.Context(), store.NewID(), values...)
		check(t, err)
		loads = append(loads, again(func() error { return store.Load(t.Context(), s, into...) }))
	}
	ns := turns(t, 4**duration, 1, loads...)
	atMost(2, "×").check(t, fmt.Sprintf("Hazelcast: Load of %d keys beside Redis", few),
		ratio(ns[1], ns[0]), "%s beside %s", took(ns[1]), took(ns[0]))
	atMost(1.5, "×").check(t, fmt.Sprintf("Hazelcast: Load of %d keys beside four of %d", many, few),
		ratio(ns[2], ns[1])/4, "%s beside 4 × %s", took(ns[2]), took(ns[1]))
}

// TestHazelcastRivals writes to one session through several clients at once, as fast as they can. Each write rests on the one
// before, so that a session is a chain of round trips.
func TestHazelcastRivals(t *testing.T) {
	url, id := hazelcast(t), store.NewID()
	var rivals []*store.Session
	for i := range 8 {
		ss := open(t, url, &store.Options{Lease: 10 * time.Minute})
		s, err := ss.Attach(t.Context(), id)
		if i == 0 {
			s, err = ss.Create(t.Context(), id, userID.To(names[0]))
		}
		check(t, err)
		rivals = append(rivals, s)
	}
	rate := func(writers []*store.Session) float64 {
		var wg sync.WaitGroup
		var done atomic.Int64
		errs := make([]error, len(writers))
		start := time.Now()
		for i, s := range writers {
			wg.Go(func() {
				for errs[i] == nil && (done.Load() == 0 || time.Since(start) < 2**duration) {
					errs[i] = userID.Set(t.Context(), s, names[1])
					done.Add(1)
				}
			})
		}
		wg.Wait()
		check(t, errors.Join(errs...))
		return float64(done.Load()) / time.Since(start).Seconds()
	}
	var all, lone []float64
	for range *repeat {
		lone, all = append(lone, rate(rivals[:1])), append(all, rate(rivals))
	}
	atLeast(4000, "a second").check(t, "Hazelcast: Sets of 8 clients in one session", report.Median(all),
		"at best %.0f; one client alone %.0f", slices.Max(all), report.Median(lone))
}

// TestHazelcastRenewal keeps sessions with documents of three small keys and with large ones alive, and counts what that takes of
// client and member, less what the member takes when idle. They are watched for two leases shorter than the default, for which
// the figures are given: what renewals take is per lease.
func TestHazelcastRenewal(t *testing.T) {
	needCPU(t)
	url := hazelcast(t)
	hosts, _, _, _, err := address.Hazelcast(url)
	check(t, err)
	members := listeners(hosts)
	watch := func(t *testing.T, d time.Duration) (client, member float64) {
		client, member, err := cpu.Watch(t.Context(), full(d, 50*time.Millisecond), func() (seconds float64) {
			for _, pid := range members {
				seconds += cpuOf(pid).Seconds()
			}
			return seconds
		})
		check(t, err)
		return client, member
	}
	for _, size := range []int{263, 4 << 10} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			_, idle := watch(t, 10*time.Second)
			const lease = 20 * time.Second
			count := full(100_000, 500)
			ss := open(t, url, &store.Options{Lease: lease})
			const overhead = 90 // of a document with one short key
			filler := store.Key[[]byte]("filler").To(make([]byte, size-overhead))
			fill(t, ss, count, func(int) store.Change { return filler })
			watch(t, lease) // the first renewal writes each document, and the collector has its turn
			client, member := watch(t, 2*lease)
			if st := ss.Stats(); st.RenewFailures > 0 || st.Owned != count {
				t.Fatalf("%d renewals failed, and %d sessions are left of %d", st.RenewFailures, st.Owned, count)
			}
			scale := lease.Seconds() / store.DefaultLease.Seconds()
			client, member = scale*client, scale*(member-idle)
			of := fmt.Sprintf("members %.2f %% (%.2f %% when idle)", member, idle)
			if len(members) < len(hosts) {
				of = "members not counted, because they are not processes of this machine"
			}
			atMost(0.5, "%").check(t, fmt.Sprintf("Hazelcast: renewing 10⁵ leases of %.0f s, documents of %d bytes, of one core", store.DefaultLease.Seconds(), size),
				client+max(member, 0), "client %.2f %%, %s", client, of)
		})
	}
}
