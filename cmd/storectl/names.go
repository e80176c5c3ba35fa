package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/keyspace"
)

// nameMark begins the name that represents a session in place of its ID. No written ID begins with it.
const nameMark = "~"

const (
	nameLetters = "abcdefghijklmnopqrstuvwxyz234567"
	nameLength  = 16 // letters behind the mark, 80 bits
)

var nameEncoding = base32.NewEncoding(nameLetters).WithPadding(base32.NoPadding)

// nameOf returns the name of a session: a hash, the same in every run.
func (c *call) nameOf(id string) string {
	sum := sha256.Sum256([]byte("storectl session\x00" + c.store.Namespace() + "\x00" + id))
	return nameMark + nameEncoding.EncodeToString(sum[:])[:nameLength]
}

// label returns the ID as it is written, or the name in its place.
func (c *call) label(id string) string {
	if c.ids {
		return keyspace.Escape(id)
	}
	return c.nameOf(id)
}

// A ref is a session in JSON.
type ref struct {
	Session string `json:"session"`      // its name
	ID      string `json:"id,omitempty"` // with -ids
}

func (c *call) ref(id string) ref {
	r := ref{Session: c.nameOf(id)}
	if c.ids {
		r.ID = keyspace.Escape(id)
	}
	return r
}

// keyOf returns a key of the session id as it may be shown: programs may put IDs into keys. A short ID occurs in
// other text by chance.
func (c *call) keyOf(key, id string) string {
	const short = 8
	if !c.ids && (key == id || len(id) >= short && strings.Contains(key, id)) {
		return "(a key that has the session's ID)"
	}
	return key
}

// readID reads an ID as it is written. Bytes that need no escape elsewhere may represent themselves.
func readID(text string) (string, error) {
	if id, ok := keyspace.Unescape(text); ok {
		return id, check(id)
	}
	if strings.Contains(text, "%") {
		return "", errors.New("it has a % that is none of %00 to %FF in capital letters; write an ID's % as %25")
	}
	return text, check(text)
}

func check(id string) error {
	if err := store.CheckID(id); err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), store.ErrInvalidID.Error()+": "))
	}
	return nil
}

const (
	maxLine = 4 << 10   // of an ID in a file
	maxIDs  = 1_000_000 // from files
)

// A target is a session that arguments name, by its ID or its name.
type target struct{ id, name string }

// targets returns the sessions that arguments name, in their order. The same argument counts once.
func (c *call) targets(ctx context.Context, args []string) (all []target, err error) {
	var texts []string
	stdin := false
	for i, arg := range args {
		lines := []string{arg}
		switch {
		case arg == "-" && stdin:
			return nil, wrongf("%s: the standard input can be read once; give - once", c.name)
		case arg == "-":
			stdin = true
			lines, err = c.readLines(ctx, c.stdin, "the standard input")
		case strings.HasPrefix(arg, "@"):
			lines, err = c.readFile(ctx, arg[1:], fmt.Sprintf("the file of argument %d", i+1))
		}
		if err != nil {
			return nil, err
		}
		texts = append(texts, lines...)
	}
	if len(texts) == 0 {
		return nil, wrongf("%s: no session ID was given", c.name)
	}
	seen := make(map[string]bool)
	for i, text := range texts {
		if seen[text] {
			continue
		}
		seen[text] = true
		if strings.HasPrefix(text, nameMark) {
			if !isName(text) {
				return nil, wrongf("%s: session %d begins with ~ and is no name as ls shows it", c.name, i+1)
			}
			all = append(all, target{name: text})
			continue
		}
		id, err := readID(text)
		if err != nil {
			return nil, wrongf("%s: session %d has no usable ID: %v", c.name, i+1, err)
		}
		all = append(all, target{id: id})
	}
	return all, nil
}

func isName(text string) bool {
	return len(text) == len(nameMark)+nameLength && strings.Trim(text[len(nameMark):], nameLetters) == ""
}

func (c *call) readFile(ctx context.Context, name, from string) ([]string, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, wrongf("%s: %s cannot be read: %v", c.name, from, reason(err))
	}
	defer f.Close()
	return c.readLines(ctx, f, from)
}

// reason returns why a file could not be opened, without its name, which may be an ID.
func reason(err error) error {
	if p, ok := errors.AsType[*os.PathError](err); ok {
		return p.Err
	}
	return err
}

// interruptible returns what r reads, until ctx ends: a read of a terminal or a pipe does not end with ctx.
func interruptible(ctx context.Context, r io.Reader) io.Reader {
	out, in := io.Pipe()
	context.AfterFunc(ctx, func() { in.CloseWithError(ctx.Err()) })
	go func() {
		_, err := io.Copy(in, r)
		in.CloseWithError(err)
	}()
	return out
}

// readLines returns the lines that are not empty.
func (c *call) readLines(ctx context.Context, r io.Reader, from string) (lines []string, err error) {
	s := bufio.NewScanner(interruptible(ctx, r))
	s.Buffer(nil, maxLine)
	for s.Scan() {
		if line := strings.TrimSpace(s.Text()); line != "" {
			lines = append(lines, line)
		}
		if len(lines) > maxIDs {
			return nil, wrongf("%s: %s has more than %d lines", c.name, from, maxIDs)
		}
	}
	switch err := s.Err(); {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, bufio.ErrTooLong):
		return nil, wrongf("%s: a line of %s is longer than an ID can be", c.name, from)
	case err != nil:
		return nil, wrongf("%s: %s cannot be read: %v", c.name, from, reason(err))
	}
	return lines, nil
}

// identify looks through all sessions for those that are named, and gives them their IDs. Those that do not live get none.
func (c *call) identify(ctx context.Context, targets []target) error {
	places := make(map[string]int)
	for i, t := range targets {
		if t.name != "" {
			places[t.name] = i
		}
	}
	if len(places) == 0 {
		return nil
	}
	defer c.progress.clear()
	return c.scan(ctx, func(page []string) error {
		for _, id := range page {
			name := c.nameOf(id)
			if at, ok := places[name]; ok {
				targets[at].id = id
				delete(places, name)
			}
		}
		if len(places) == 0 {
			return errEnough
		}
		return nil
	})
}
