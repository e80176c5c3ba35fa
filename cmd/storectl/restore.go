package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/keyspace"
)

var restoreCommand = &command{
	name: "restore", usage: []string{"restore [flags] [FILE]"}, args: "a FILE", summary: "begin the sessions of a dump again", most: 1,
	help: `
Restore reads a dump from the FILE, or from the standard input, and begins its sessions again with the same IDs and
values. Each lives for as long as it had left when it was dumped, and belongs to no process until its client resumes it.

A session that lives is left alone; with -overwrite it is resumed, which ends it for its owner, and its values are replaced in one
step. Sealed values open only under the namespace that they were dumped from, so another one is refused unless
-other-namespace is given. An index finds a restored session from its next renewal or write on.`,
	flags: func(set *flag.FlagSet, f *flags) {
		set.BoolVar(&f.overwrite, "overwrite", false, "replace sessions that live")
		set.BoolVar(&f.elsewhere, "other-namespace", false, "restore also into a namespace that the dump is not of")
		set.DurationVar(&f.lease, "lease", time.Minute, "how long a session lives whose time left the dump does not say, a `DURATION`")
	},
	run: restore,
}

// maxDumpLine is the longest line of a dump: a session with all its values.
const maxDumpLine = 1 << 30

// restored is what restore says, in JSON.
type restored struct {
	Restored    int `json:"restored"`
	Overwritten int `json:"overwritten"`
	LeftAlone   int `json:"left_alone"`
}

func (r *restored) String() string {
	text := many(r.Restored, "session") + " restored"
	if r.Overwritten > 0 {
		text += fmt.Sprintf(", %d of them over living ones", r.Overwritten)
	}
	if r.LeftAlone > 0 {
		text += fmt.Sprintf(", %d left alone, as they live", r.LeftAlone)
	}
	return text
}

func restore(ctx context.Context, c *call) error {
	if c.lease < time.Millisecond {
		return wrongf("restore: -lease is a millisecond at least")
	}
	from := io.Reader(c.stdin)
	if len(c.args) > 0 && c.args[0] != "-" {
		f, err := os.Open(c.args[0])
		if err != nil {
			return wrongf("restore: the file cannot be read: %v", reason(err))
		}
		defer f.Close()
		from = f
	}
	if err := c.open(ctx, nil); err != nil {
		return err
	}
	r := &restorer{c: c, in: bufio.NewReaderSize(interruptible(ctx, from), 1<<16)}
	err := r.all(ctx)
	if err == nil && c.json {
		return c.out.object(r.done)
	}
	var wrong *usageError
	switch {
	case errors.As(err, &wrong):
		return &usageError{fmt.Sprintf("restore: line %d: %s; %s before it", r.line, wrong.text, &r.done)}
	case err != nil:
		return &partError{r.done.String(), err}
	}
	c.out.line("%s.", &r.done)
	return nil
}

type restorer struct {
	c    *call
	in   *bufio.Reader
	line int
	done restored
}

func (r *restorer) all(ctx context.Context) error {
	var head dumpHead
	if err := r.next(&head); err != nil {
		if errors.Is(err, io.EOF) {
			return wrongf("the dump is empty")
		}
		return err
	}
	if head.Version != dumpVersion {
		return wrongf("this is no dump that this storectl can read")
	}
	if own := r.c.store.Namespace(); head.Namespace != own && !r.c.elsewhere {
		return wrongf("the dump is of the namespace %.64q and the store of %q; give -other-namespace if you mean it", head.Namespace, own)
	}
	for sessions := 0; ; sessions++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		var one struct {
			dumpSession
			dumpEnd
		}
		err := r.next(&one)
		if errors.Is(err, io.EOF) {
			return wrongf("the dump ends here without its last line, so it is not whole")
		}
		if err != nil {
			return err
		}
		if one.End {
			if one.dumpEnd.Sessions != sessions || one.ID != "" {
				return wrongf("the dump says %d sessions and has %d, so it is not whole", one.dumpEnd.Sessions, sessions)
			}
			return nil
		}
		if err := r.one(ctx, one.dumpSession); err != nil {
			return err
		}
		r.c.progress.say("%s so far", many(r.done.Restored, "session"))
	}
}

// next reads a line into v.
func (r *restorer) next(v any) error {
	line, err := r.read()
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if d.Decode(v) != nil || d.More() {
		return wrongf("it is no line of a dump")
	}
	return nil
}

// read returns the next line that is not empty.
func (r *restorer) read() (line []byte, err error) {
	for {
		r.line++
		line = line[:0]
		for {
			part, err := r.in.ReadSlice('\n')
			line = append(line, part...)
			if len(line) > maxDumpLine {
				return nil, wrongf("it is too long")
			}
			if err == nil || err == io.EOF && len(line) > 0 {
				break
			}
			if errors.Is(err, io.EOF) {
				return nil, io.EOF
			}
			if !errors.Is(err, bufio.ErrBufferFull) {
				return nil, reason(err)
			}
		}
		if len(bytes.TrimSpace(line)) > 0 {
			return line, nil
		}
	}
}

// one begins one session again.
func (r *restorer) one(ctx context.Context, d dumpSession) error {
	id, ok := keyspace.Unescape(d.ID)
	if !ok || check(id) != nil {
		return wrongf("it has no usable ID")
	}
	terms := store.Terms{Lease: r.c.lease}
	if d.LeftMS != nil {
		if *d.LeftMS <= 0 || *d.LeftMS > maxLeftMillis {
			return wrongf("its left_ms is not from 1 to %d", maxLeftMillis)
		}
		terms.Lease = time.Duration(*d.LeftMS) * time.Millisecond
	}
	var values []store.Entry
	seen := make(map[string]bool)
	for _, v := range d.Values {
		if store.CheckKey(v.Key) != nil || seen[v.Key] {
			return wrongf("it has a key that cannot be used, or one twice")
		}
		seen[v.Key] = true
		if strings.HasPrefix(v.Key, reserved) {
			continue // what it says of lists of an index, or of a copy on its way, is not in the dump
		}
		if v.Value == nil {
			v.Value = []byte{}
		}
		values = append(values, store.Entry{Key: v.Key, Value: v.Value})
	}
	_, err := r.c.store.Create(ctx, id, values, terms)
	switch {
	case err == nil:
		r.done.Restored++
		return nil
	case !errors.Is(err, store.ErrExists):
		return err
	case !r.c.overwrite:
		r.done.LeftAlone++
		return nil
	}
	return r.overwrite(ctx, id, values, terms)
}

// maxLeftMillis is what fits a time.Duration.
const maxLeftMillis = int64(1<<63-1) / int64(time.Millisecond)

// overwrite replaces the values of a living session, or begins it where it has ended by now.
func (r *restorer) overwrite(ctx context.Context, id string, values []store.Entry, terms store.Terms) error {
	for range 5 {
		raw, err := r.c.store.Resume(ctx, id, terms)
		if errors.Is(err, store.ErrNoSession) {
			if _, err = r.c.store.Create(ctx, id, values, terms); err == nil {
				r.done.Restored++
				return nil
			}
			if errors.Is(err, store.ErrExists) {
				continue
			}
		}
		if err != nil {
			return err
		}
		keys, err := store.Keys(ctx, raw)
		if err == nil {
			write := values
			for _, key := range keys {
				if !hasKey(values, key) {
					write = append(slices.Clip(write), store.Entry{Key: key})
				}
			}
			_, err = store.Commit(ctx, raw, nil, write)
		}
		if errors.Is(err, store.ErrDestroyed) {
			continue // others have ended or resumed it since
		}
		if err != nil {
			return err
		}
		r.done.Restored++
		r.done.Overwritten++
		return nil
	}
	return errors.New("a session is resumed again and again by others, so that it cannot be overwritten")
}

func hasKey(entries []store.Entry, key string) bool {
	for _, e := range entries {
		if e.Key == key {
			return true
		}
	}
	return false
}
