package goals

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	client "github.com/hazelcast/hazelcast-go-client"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends"
	"github.com/sessionkv/store/bench/internal/address"
	"github.com/sessionkv/store/bench/internal/report"
	"github.com/sessionkv/store/bench/internal/system"
	"github.com/sessionkv/store/internal/keyspace"
)

// hazelcast compares typed operations with the raw client's calls for the same
// document, call by call in turns.
func hazelcast(ctx context.Context, o Options, add func(report.Goal)) (err error) {
	const get, set = "Hazelcast: typed Get beside the raw Get of the same document", "Hazelcast: undisturbed typed Set beside the raw ReplaceIfSame"
	if o.Hazelcast == "" {
		add(report.Goal{Goal: get, Skipped: "give -store hazelcast://host:port/cluster to measure it"})
		add(report.Goal{Goal: set, Skipped: "give -store hazelcast://host:port/cluster to measure it"})
		return nil
	}
	o.Say("Hazelcast: typed calls beside raw ones")
	own := address.Own(o.Hazelcast)
	backend, err := backends.Open(ctx, own)
	if err != nil {
		return err
	}
	defer backend.Close()
	ss, err := store.New(backend, &store.Options{Lease: 5 * time.Minute})
	if err != nil {
		return err
	}
	id := store.NewID()
	s, err := ss.Create(ctx, id, userID.To("u-42-abcdef"), who.To(sampleIdentity), store.Key[string]("room").To("room-17"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ss.Close(context.WithoutCancel(ctx))) }()
	raw, err := system.HazelcastClient(ctx, o.Hazelcast)
	if err != nil {
		return err
	}
	defer raw.Shutdown(context.WithoutCancel(ctx))
	doc, m, err := copyDocument(ctx, raw, own, id)
	if err != nil {
		return err
	}
	defer m.Delete(context.WithoutCancel(ctx), probe)

	one, two := doc, append(bytes.Clone(doc[:len(doc)-1]), doc[len(doc)-1]^1)
	names := []string{"u-42-abcdef", "u-43-abcdef"}
	calls := 0
	for _, c := range []struct {
		text       string
		bound      float64
		raw, typed func() error
	}{
		{
			get, 1.15,
			func() error { _, err := m.Get(ctx, probe); return err },
			func() error { _, err := userID.Get(ctx, s); return err },
		},
		{
			set, 1.3,
			func() error {
				ok, err := m.ReplaceIfSame(ctx, probe, one, two)
				if err == nil && !ok {
					err = errLost
				}
				one, two = two, one
				return err
			},
			func() error { calls++; return userID.Set(ctx, s, names[calls&1]) },
		},
	} {
		var raws, typeds []time.Duration
		for start := time.Now(); time.Since(start) < 4*o.Duration; {
			begin := time.Now()
			err := c.raw()
			half := time.Now()
			err = errors.Join(err, c.typed())
			typeds, raws = append(typeds, time.Since(half)), append(raws, half.Sub(begin))
			if err = errors.Join(err, ctx.Err()); err != nil {
				return err
			}
		}
		r, t := median(raws), median(typeds)
		add(atMost(c.text, float64(t)/float64(r), c.bound, "%s beside %s for %d bytes", report.Duration(int64(t)), report.Duration(int64(r)), len(doc)))
	}
	return nil
}

// probe is the key of the copy.
const probe = "goal-probe"

// copyDocument copies a session's document to the raw client's map.
func copyDocument(ctx context.Context, c *client.Client, own, id string) ([]byte, *client.Map, error) {
	u, err := url.Parse(own)
	if err != nil {
		return nil, nil, err
	}
	sessions, err := c.GetMap(ctx, u.Query().Get("namespace")+":sessions")
	if err != nil {
		return nil, nil, err
	}
	v, err := sessions.Get(ctx, keyspace.Escape(id))
	if err != nil {
		return nil, nil, err
	}
	doc, ok := v.([]byte)
	if !ok || len(doc) == 0 {
		return nil, nil, fmt.Errorf("the session's document is a %T, not bytes", v)
	}
	m, err := c.GetMap(ctx, system.RawMap)
	if err != nil {
		return nil, nil, err
	}
	return doc, m, m.SetWithTTL(ctx, probe, doc, time.Hour)
}
