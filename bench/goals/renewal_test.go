package goals

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/bench/internal/address"
	"github.com/sessionkv/store/bench/internal/cpu"
	"github.com/sessionkv/store/bench/internal/drive"
)

// renewals creates 10⁵ sessions on a Redis server, ten for each user, and watches their renewals for d: what the client and the
// server, or all primaries of a cluster, take of a core, in percent, and the commands of a second. What the server took before,
// when nobody used it, does not count.
func renewals(t *testing.T, url string, o *store.Options, d time.Duration) (client, server, commands float64) {
	needCPU(t)
	meter := drive.NewServerMeter(url)
	defer meter.Close()
	watch := func(d time.Duration) (client, server float64) {
		client, server, err := cpu.Watch(t.Context(), full(d, 50*time.Millisecond), func() float64 { return meter.CPU(t.Context()) })
		check(t, err)
		return client, server
	}
	_, idle := watch(15 * time.Second)
	ss := open(t, url, o)
	fill(t, ss, full(100_000, 500), func(i int) store.Change { return userID.To("u-" + strconv.Itoa(i/10)) })
	count := func() float64 { return meter.Info(t.Context(), "stats", "total_commands_processed") }
	before := count()
	client, server = watch(d)
	return client, max(0, server-idle), (count() - before) / d.Seconds()
}

// needCPU skips where nobody tells the CPU time of a process.
func needCPU(t *testing.T) {
	if _, ok := cpu.Used(); !ok {
		t.Skip("this system does not tell the CPU time of a process")
	}
}

// TestRenewal keeps sessions alive for one default lease.
func TestRenewal(t *testing.T) {
	everyRedis(t, func(t *testing.T, name, url string) {
		limit := 1.5
		if address.Cluster(url) {
			limit = 2
		} else {
			single(t, url)
		}
		client, server, commands := renewals(t, url, nil, store.DefaultLease)
		atMost(limit, "%").check(t, fmt.Sprintf("%s: renewing 10⁵ leases of %.0f s, client and server together, of one core", name, store.DefaultLease.Seconds()),
			client+server, "client %.2f %%, server %.2f %%, %.0f commands/s", client, server, commands)
	})
}

// TestIndexRenewal compares the renewals of sessions with an index with those without, over three leases. So every kind of
// renewal is among them as often as it comes: every third looks at the mark, and every second puts entries.
func TestIndexRenewal(t *testing.T) {
	everyRedis(t, func(t *testing.T, name, url string) {
		single(t, url)
		needCPU(t)
		const lease = 30 * time.Second
		var client, server [2]float64
		for i, indexes := range [][]store.Index{nil, {userID.Index()}} {
			t.Run(fmt.Sprint(len(indexes), " indexes"), func(t *testing.T) {
				client[i], server[i], _ = renewals(t, url, &store.Options{Lease: lease, Indexes: indexes}, 3*lease)
			})
		}
		atMost(1.6, "×").check(t, fmt.Sprintf("%s: renewing 10⁵ leases of %v with an index beside without, client and server together", name, lease),
			(client[1]+server[1])/(client[0]+server[0]), "client %.2f %%, server %.2f %% beside %.2f %%, %.2f %%", client[1], server[1], client[0], server[0])
	})
}

// TestIndex compares calls with an index and without.
func TestIndex(t *testing.T) {
	t.Run("Memory", func(t *testing.T) { indexCalls(t, "Memory", "memory:") })
	everyRedis(t, indexCalls)
	t.Run("Hazelcast", func(t *testing.T) { indexCalls(t, "Hazelcast", hazelcast(t)) })
}

func indexCalls(t *testing.T, name, url string) {
	const theme = store.Key[string]("theme") // is not indexed
	var handles [2]*store.Session
	for i, indexes := range [][]store.Index{{userID.Index()}, nil} {
		var err error
		handles[i], err = open(t, url, &store.Options{Indexes: indexes}).Create(t.Context(), store.NewID(), userID.To("u"), theme.To("dark"))
		check(t, err)
	}
	n := 0
	for _, call := range []struct {
		name  string
		bound bound
		do    func(s *store.Session) error
	}{
		{"a Set of the indexed key to another value", bound{}, func(s *store.Session) error {
			n++
			return userID.Set(t.Context(), s, "u-"+strconv.Itoa(n))
		}},
		{"a Set of the indexed key to the same value", bound{}, func(s *store.Session) error { return userID.Set(t.Context(), s, "u-same") }},
		{"a Set of another key", atMost(1.05, "×"), func(s *store.Session) error { return theme.Set(t.Context(), s, "light") }},
		{"a Get of the indexed key", atMost(1.05, "×"), func(s *store.Session) error { _, err := userID.Get(t.Context(), s); return err }},
	} {
		// 16 calls at a time, so that the clock does not count.
		ns := turns(t, *duration, 16, again(func() error { return call.do(handles[0]) }), again(func() error { return call.do(handles[1]) }))
		call.bound.check(t, fmt.Sprintf("%s: %s, one caller, with an index beside without", name, call.name),
			ratio(ns[0], ns[1]), "%s beside %s", took(ns[0]), took(ns[1]))
	}
}
