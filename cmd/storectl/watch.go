package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strconv"
	"time"
)

var watchCommand = &command{
	name: "watch", usage: []string{"watch [flags]"}, summary: "count the sessions again and again",
	help: `
Watch counts the sessions, waits, and counts again, until it is interrupted. Each line says how many there are, how
many have come and gone since the line before, and how long it took to look.

It is expensive: each line is a look at all keys of the server. Sessions that have expired are counted for as long as the server keeps their
remains, which Hazelcast does for a while.`,
	flags: func(set *flag.FlagSet, f *flags) {
		set.DurationVar(&f.interval, "interval", 5*time.Second, "how long to wait, a `DURATION`")
		set.IntVar(&f.count, "count", 0, "end after `N` lines; 0 means never")
	},
	run: watch,
}

// A sight is a line of watch in JSON.
type sight struct {
	Time     time.Time `json:"time"`
	Sessions int       `json:"sessions"`
	Came     *int      `json:"came,omitempty"` // since the line before
	Gone     *int      `json:"gone,omitempty"`
	TookMS   int64     `json:"took_ms"`
}

const leastInterval = 100 * time.Millisecond

// headEvery is after how many lines a table gets its head again.
const headEvery = 20

func watch(ctx context.Context, c *call) error {
	if c.interval < leastInterval || c.count < 0 {
		return wrongf("watch: -interval is %v at least, and -count a number from 0 on", leastInterval)
	}
	if err := c.open(ctx, nil); err != nil {
		return err
	}
	var before map[string]struct{}
	for n := 0; c.count == 0 || n < c.count; n++ {
		if n > 0 {
			select {
			case <-time.After(c.interval):
			case <-ctx.Done():
			}
		}
		now := make(map[string]struct{})
		begun := time.Now()
		err := c.scan(ctx, func(ids []string) error {
			for _, id := range ids {
				now[c.nameOf(id)] = struct{}{}
			}
			return nil
		})
		if ctx.Err() != nil {
			return nil // it was told to stop
		}
		if err != nil && before == nil {
			return err
		}
		if err != nil { // a server that is away may come back
			c.progress.clear()
			fmt.Fprintf(c.stderr, "storectl: %s\n", oneLine(err.Error()))
			continue
		}
		s := sight{Time: begun.Truncate(time.Millisecond), Sessions: len(now), TookMS: time.Since(begun).Milliseconds()}
		if before != nil {
			s.Came, s.Gone = missing(now, before), missing(before, now)
		}
		before = now
		if err := c.sight(n, s, time.Since(begun)); err != nil {
			return err
		}
	}
	return nil
}

// missing returns how many of all are not in others.
func missing(all, others map[string]struct{}) *int {
	n := 0
	for name := range all {
		if _, ok := others[name]; !ok {
			n++
		}
	}
	return &n
}

func (c *call) sight(n int, s sight, took time.Duration) error {
	if c.json {
		return errors.Join(c.out.object(s), c.write())
	}
	if n%headEvery == 0 {
		c.out.row("TIME", "SESSIONS", "CAME", "GONE", "TOOK")
	}
	number := func(n *int) string {
		if n == nil {
			return "-"
		}
		return strconv.Itoa(*n)
	}
	c.out.row(s.Time.Format(time.TimeOnly), strconv.Itoa(s.Sessions), number(s.Came), number(s.Gone), short(took))
	return c.write()
}
