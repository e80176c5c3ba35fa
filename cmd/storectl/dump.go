package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"time"

	"github.com/sessionkv/store/internal/keyspace"
)

var dumpCommand = &command{
	name: "dump", usage: []string{"dump -ids [flags]"}, summary: "write all sessions with their values, for restore",
	help: `
Dump writes all sessions as lines of JSON: first one with the namespace, then one for each session with its ID, the milliseconds that
it has left, and its values byte by byte in base64, and last one with their number. Sealed values stay sealed. The values of one session
are those of one moment; sessions that begin or end meanwhile may be missing.

A dump holds the IDs of all sessions, which are credentials, so it is only written with -ids. Keep it as you keep
passwords, and no longer than needed; -o makes a file that only you can read.

It is expensive: it loads everything.`,
	flags: func(set *flag.FlagSet, f *flags) {
		set.StringVar(&f.output, "o", "", "write to a new `FILE` in place of the standard output")
	},
	run: dump,
}

// dumpVersion is that of the form of a dump.
const dumpVersion = 1

// The lines of a dump.
type (
	dumpHead struct {
		Version   int       `json:"storectl"`
		Namespace string    `json:"namespace"`
		Time      time.Time `json:"time"`
	}
	dumpSession struct {
		ID     string      `json:"id"`                // as it is written
		LeftMS *int64      `json:"left_ms,omitempty"` // absent where the store does not tell
		Values []dumpValue `json:"values"`
	}
	dumpValue struct {
		Key   string `json:"key"`
		Value []byte `json:"value"`
	}
	dumpEnd struct {
		End      bool `json:"end"`
		Sessions int  `json:"sessions"`
	}
)

func dump(ctx context.Context, c *call) (err error) {
	if !c.ids {
		return wrongf("dump: a dump holds all session IDs, which are credentials; give -ids if you mean it")
	}
	if err := c.open(ctx, nil); err != nil {
		return err
	}
	if c.output == "" {
		_, err := c.dumpTo(ctx, c.out.w, c.write)
		return err
	}
	f, err := os.OpenFile(c.output, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		if errors.Is(err, os.ErrExist) {
			return wrongf("dump: the file of -o exists; name a new one")
		}
		return wrongf("dump: the file of -o cannot be made: %v", reason(err))
	}
	w := bufio.NewWriter(f)
	n, err := c.dumpTo(ctx, w, w.Flush)
	if err = errors.Join(err, w.Flush(), f.Sync(), f.Close()); err != nil {
		return &partError{"the file of -o is not complete", err}
	}
	if c.json {
		return c.out.object(dumpEnd{End: true, Sessions: n})
	}
	c.out.line("%s dumped.", many(n, "session"))
	return nil
}

func (c *call) dumpTo(ctx context.Context, w io.Writer, flush func() error) (n int, err error) {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	if err := e.Encode(dumpHead{dumpVersion, c.store.Namespace(), time.Now().UTC().Truncate(time.Second)}); err != nil {
		return 0, err
	}
	err = c.living(ctx, func(page []*session) error {
		all, err := c.loaded(ctx, page)
		if err != nil {
			return err
		}
		for i, s := range page {
			if all[i] == nil {
				continue // it has ended meanwhile
			}
			d := dumpSession{ID: keyspace.Escape(s.id), LeftMS: s.leftMillis(), Values: []dumpValue{}}
			for _, v := range all[i] {
				d.Values = append(d.Values, dumpValue{v.Key, v.Value})
			}
			if err := e.Encode(d); err != nil {
				return err
			}
			n++
		}
		return flush()
	})
	if err == nil {
		err = e.Encode(dumpEnd{true, n})
	}
	return n, err
}
