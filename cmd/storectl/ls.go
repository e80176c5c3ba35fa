package main

import (
	"context"
	"flag"
	"strconv"

	"github.com/sessionkv/store"
)

var lsCommand = &command{
	name: "ls", usage: []string{"ls [flags]"}, summary: "list the sessions of the namespace",
	help: `
Ls lists the sessions that live, on all nodes, in no order, and for how long each lives if nobody renews it.

It is expensive: the server looks at all its keys, and ls asks for each session. Use it seldom, and not from programs that
serve requests. A session that begins or ends meanwhile may be missing.`,
	flags: func(set *flag.FlagSet, f *flags) {
		set.BoolVar(&f.long, "long", false, "show the number of keys and bytes, too; this loads all values")
		set.IntVar(&f.limit, "limit", 0, "stop after `N` sessions; 0 means all")
	},
	run: ls,
}

// A listed is a session of ls in JSON.
type listed struct {
	ref
	LeftMS *int64 `json:"left_ms,omitempty"`
	Keys   *int   `json:"keys,omitempty"`
	Bytes  *int   `json:"bytes,omitempty"`
}

func ls(ctx context.Context, c *call) error {
	if c.limit < 0 {
		return wrongf("ls: -limit is a number from 0 on")
	}
	if err := c.open(ctx, nil); err != nil {
		return err
	}
	n := 0
	return c.living(ctx, func(page []*session) error {
		if c.limit > 0 {
			page = page[:min(len(page), c.limit-n)]
		}
		if err := c.list(ctx, page, n == 0); err != nil {
			return err
		}
		if n += len(page); c.limit > 0 && n >= c.limit {
			return errEnough
		}
		return nil
	})
}

// list writes sessions, with a head where they are the first.
func (c *call) list(ctx context.Context, page []*session, first bool) error {
	var all [][]store.Entry
	if c.long {
		var err error
		if all, err = c.loaded(ctx, page); err != nil {
			return err
		}
	}
	if first && len(page) > 0 && !c.json {
		head := []string{"SESSION", "TIME LEFT"}
		if c.long {
			head = append(head, "KEYS", "BYTES")
		}
		c.out.row(head...)
	}
	for i, s := range page {
		if c.long && all[i] == nil {
			continue // it has ended meanwhile
		}
		if c.json {
			l := listed{ref: c.ref(s.id), LeftMS: s.leftMillis()}
			if c.long {
				keys, size := len(all[i]), sizeOf(all[i])
				l.Keys, l.Bytes = &keys, &size
			}
			if err := c.out.object(l); err != nil {
				return err
			}
			continue
		}
		cells := []string{c.label(s.id), s.leftText()}
		if c.long {
			cells = append(cells, strconv.Itoa(len(all[i])), bytesText(sizeOf(all[i])))
		}
		c.out.row(cells...)
	}
	return c.write()
}
