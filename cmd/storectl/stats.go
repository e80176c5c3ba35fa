package main

import (
	"cmp"
	"context"
	"flag"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

var statsCommand = &command{
	name: "stats", usage: []string{"stats [flags]"}, summary: "count the sessions and say how long they live",
	help: `
Stats counts the sessions that live, and says how long they live if nobody renews them. With -keys it also says for each key how many
sessions have it and how many bytes its values take.

It is expensive, as ls is; with -keys it loads all values.`,
	flags: func(set *flag.FlagSet, f *flags) {
		set.BoolVar(&f.perKey, "keys", false, "count keys and bytes, too; this loads all values")
	},
	run: stats,
}

// A summary is what stats says, in JSON.
type summary struct {
	Namespace string       `json:"namespace"`
	Sessions  int          `json:"sessions"`
	TimeLeft  *spread      `json:"time_left_ms,omitempty"`
	Bytes     *int         `json:"bytes,omitempty"` // of all values
	Keys      []keySummary `json:"keys,omitempty"`

	lefts []time.Duration
	byKey map[string]*keySummary
}

// A spread says how durations are spread, in milliseconds.
type spread struct {
	Shortest int64 `json:"shortest"`
	Median   int64 `json:"median"`
	Longest  int64 `json:"longest"`
}

type keySummary struct {
	Key      string `json:"key"`
	Sessions int    `json:"sessions"`
	Bytes    int    `json:"bytes"`
	Largest  int    `json:"largest"`
}

func stats(ctx context.Context, c *call) error {
	if err := c.open(ctx, nil); err != nil {
		return err
	}
	s := summary{Namespace: c.store.Namespace(), byKey: make(map[string]*keySummary)}
	err := c.living(ctx, func(page []*session) error {
		s.Sessions += len(page)
		for _, one := range page {
			if one.known {
				s.lefts = append(s.lefts, one.left)
			}
		}
		if !c.perKey {
			return nil
		}
		all, err := c.loaded(ctx, page)
		for i, entries := range all {
			for _, e := range entries {
				key := c.keyOf(e.Key, page[i].id)
				k := s.byKey[key]
				if k == nil {
					k = &keySummary{Key: key}
					s.byKey[key] = k
				}
				k.Sessions++
				k.Bytes += len(e.Value)
				k.Largest = max(k.Largest, len(e.Value))
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	s.finish(c.perKey)
	c.progress.clear()
	if c.json {
		return c.out.object(s)
	}
	return s.write(c)
}

func (s *summary) finish(perKey bool) {
	if n := len(s.lefts); n > 0 {
		slices.Sort(s.lefts)
		s.TimeLeft = &spread{s.lefts[0].Milliseconds(), s.lefts[n/2].Milliseconds(), s.lefts[n-1].Milliseconds()}
	}
	if !perKey {
		return
	}
	total := 0
	for _, k := range slices.Sorted(maps.Keys(s.byKey)) {
		s.Keys = append(s.Keys, *s.byKey[k])
		total += s.byKey[k].Bytes
	}
	s.Bytes = &total
	slices.SortStableFunc(s.Keys, func(a, b keySummary) int { return cmp.Compare(b.Bytes, a.Bytes) })
}

func (s *summary) write(c *call) error {
	o := c.out
	o.row("Namespace", s.Namespace)
	o.row("Sessions", strconv.Itoa(s.Sessions))
	if n := len(s.lefts); n > 0 {
		o.row("Time left", "shortest "+short(s.lefts[0])+", median "+short(s.lefts[n/2])+", longest "+short(s.lefts[n-1]))
	}
	if s.Bytes == nil {
		return nil
	}
	o.row("Values", bytesText(*s.Bytes))
	o.line("")
	if len(s.Keys) == 0 {
		return nil
	}
	o.row("KEY", "SESSIONS", "BYTES", "LARGEST")
	for _, k := range s.Keys {
		o.row(keyText(k.Key), strconv.Itoa(k.Sessions), bytesText(k.Bytes), bytesText(k.Largest))
	}
	return nil
}

// keyText writes the name of a key.
func keyText(key string) string {
	if own, ok := strings.CutPrefix(key, reserved); ok {
		return "(" + own + ")"
	}
	return key
}
