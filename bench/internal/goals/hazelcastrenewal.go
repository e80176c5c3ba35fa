package goals

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/bench/internal/address"
	"github.com/sessionkv/store/bench/internal/cpu"
	"github.com/sessionkv/store/bench/internal/report"
)

const (
	// renewedLease is the lease of sessions whose renewals are watched, shorter than
	// the default so that a watch sees two of it. What renewals take is per lease.
	renewedLease = 20 * time.Second

	idleWatch = 10 * time.Second
)

// renewedSizes are those of documents that are kept alive: that of three small keys,
// and a large one.
var renewedSizes = []int{263, 4 << 10}

// hazelcastRenewal keeps 10⁵ sessions alive on Hazelcast and counts what that takes of
// client and member, per default lease.
func hazelcastRenewal(ctx context.Context, o Options, add func(report.Goal)) error {
	return hazelcastRenewals(ctx, o, manySessions, add)
}

func hazelcastRenewals(ctx context.Context, o Options, count int, add func(report.Goal)) error {
	for _, size := range renewedSizes {
		text := fmt.Sprintf("Hazelcast: renewing %s leases of %.0f s, documents of %d bytes, of one core", power(count), store.DefaultLease.Seconds(), size)
		if o.Hazelcast == "" {
			add(report.Goal{Goal: text, Skipped: needsHazelcast})
			continue
		}
		if _, ok := cpu.Used(); !ok {
			add(report.Goal{Goal: text, Skipped: "this system does not tell the CPU time of a process"})
			continue
		}
		if err := renewSize(ctx, o, text, count, size, add); err != nil {
			return err
		}
	}
	return nil
}

func power(n int) string {
	if n == manySessions {
		return "10⁵"
	}
	return fmt.Sprint(n)
}

func renewSize(ctx context.Context, o Options, text string, count, size int, add func(report.Goal)) (err error) {
	hosts, _, _, _, err := address.Hazelcast(o.Hazelcast)
	if err != nil {
		return err
	}
	members := listeners(hosts)
	o.Say("Hazelcast: watching idle members")
	idle, err := watchCPU(ctx, members, min(idleWatch, 20*o.Duration))
	if err != nil {
		return err
	}
	o.Say(fmt.Sprintf("Hazelcast: creating %d sessions of %d bytes to renew", count, size))
	ss, err := openOwn(ctx, o.Hazelcast, &store.Options{Lease: renewedLease})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ss.close(ctx)) }()
	const overhead = 90 // of a document with one short key
	filler := store.Key[[]byte]("filler").To(make([]byte, size-overhead))
	const workers = 256
	var wg sync.WaitGroup
	errs := make([]error, workers)
	for w := range workers {
		wg.Go(func() {
			for i := w; i < count && errs[w] == nil && ctx.Err() == nil; i += workers {
				_, errs[w] = ss.Create(ctx, store.NewID(), filler)
			}
		})
	}
	wg.Wait()
	if err := errors.Join(append(errs, ctx.Err())...); err != nil {
		return err
	}
	// The first renewal writes each document, and the collector has its turn.
	lease := min(renewedLease, 40*o.Duration)
	if _, err := watchCPU(ctx, members, lease); err != nil {
		return err
	}
	o.Say(fmt.Sprintf("Hazelcast: watching renewals for %v", 2*lease))
	busy, err := watchCPU(ctx, members, 2*lease)
	if err != nil {
		return err
	}
	if st := ss.Stats(); st.RenewFailures > 0 || st.Owned != count {
		return fmt.Errorf("%d renewals failed, and %d sessions are left of %d", st.RenewFailures, st.Owned, count)
	}
	scale := 100 * renewedLease.Seconds() / store.DefaultLease.Seconds()
	client, member := scale*busy.client, scale*(busy.member-idle.member)
	const bound = 0.5
	total := client + max(member, 0)
	measured := fmt.Sprintf("%.2f %% (at most %g %%): client %.2f %%, ", total, bound, client)
	if len(members) < len(hosts) {
		measured += "members not counted, because they are not processes of this machine"
	} else {
		measured += fmt.Sprintf("members %.2f %% (%.2f %% when idle)", member, 100*idle.member)
	}
	add(report.Goal{Goal: text, Ratio: total, Bound: bound, Met: total <= bound, Measured: measured})
	return nil
}

// busyness is what processes take, in cores.
type busyness struct{ client, member float64 }

// watchCPU waits for d and returns what this process and members have taken meanwhile.
func watchCPU(ctx context.Context, members []int, d time.Duration) (busyness, error) {
	look := func() (client, member time.Duration) {
		client, _ = cpu.Used()
		for _, pid := range members {
			member += cpuOf(pid)
		}
		return client, member
	}
	start := time.Now()
	client, member := look()
	select {
	case <-ctx.Done():
		return busyness{}, ctx.Err()
	case <-time.After(d):
	}
	client2, member2 := look()
	elapsed := time.Since(start).Seconds()
	return busyness{(client2 - client).Seconds() / elapsed, (member2 - member).Seconds() / elapsed}, nil
}
