package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/sessionkv/store"
)

var endCommand = &command{
	name: "end", usage: []string{"end [flags] ID...", "end [flags] -user KEY VALUE"}, args: "one ID or more, or with -user a KEY and a VALUE", summary: "end sessions, on whatever node they are", least: 1, most: 1 << 20,
	help: `
End destroys sessions: their values are gone, and their connections end as after any Destroy on another node. With -user it ends
all sessions that find finds, which logs a user out everywhere.

It asks before, unless -yes is given. Where the IDs come from the standard input it cannot ask.`,
	flags: func(set *flag.FlagSet, f *flags) {
		valueFlags(set, f)
		set.BoolVar(&f.user, "user", false, "end the sessions whose KEY has the VALUE; see storectl help find")
		set.BoolVar(&f.yes, "yes", false, "do not ask")
	},
	run: end,
}

// An ended is what end says in JSON.
type ended struct {
	Ended   int   `json:"ended"`
	Missing []ref `json:"missing,omitempty"` // sessions that did not live
}

func end(ctx context.Context, c *call) error {
	if c.user {
		return endUser(ctx, c)
	}
	if !c.yes && slices.Contains(c.args, "-") {
		return wrongf("end: the IDs come from the standard input, so that nobody can be asked there; give -yes")
	}
	if err := c.askable(); err != nil {
		return err
	}
	targets, err := c.targets(ctx, c.args)
	if err != nil {
		return err
	}
	if err := c.open(ctx, nil); err != nil {
		return err
	}
	if err := c.identify(ctx, targets); err != nil {
		return err
	}
	if err := c.ask(ctx, fmt.Sprintf("End %s of namespace %s?", many(len(targets), "session"), c.store.Namespace())); err != nil {
		return err
	}
	var result ended
	for _, t := range targets {
		done := false
		if t.id != "" {
			if done, err = c.endOne(ctx, t.id); err != nil {
				return &partError{fmt.Sprintf("%s of %d ended before", many(result.Ended, "session"), len(targets)), err}
			}
		}
		switch {
		case done:
			result.Ended++
		case t.id == "":
			result.Missing = append(result.Missing, ref{Session: t.name})
		default:
			result.Missing = append(result.Missing, c.ref(t.id))
		}
	}
	if c.json {
		if err := c.out.object(result); err != nil {
			return err
		}
	} else {
		c.out.line("%s ended.", many(result.Ended, "session"))
		for _, m := range result.Missing {
			if m.ID != "" {
				m.Session = m.ID
			}
			c.out.line("No such session: %s", m.Session)
		}
	}
	if len(result.Missing) > 0 {
		return fmt.Errorf("%d of %s did not live", len(result.Missing), many(len(targets), "session"))
	}
	return nil
}

// endOne ends a session in whatever life it is, and reports whether it lived.
func (c *call) endOne(ctx context.Context, id string) (done bool, err error) {
	for range 10 {
		raw, err := c.store.Attach(ctx, id, store.Terms{Lease: lookLease})
		if errors.Is(err, store.ErrNoSession) {
			return done, nil
		}
		if err != nil {
			return done, err
		}
		if err := raw.Destroy(ctx); err != nil {
			return done, err
		}
		done = true // unless it was resumed in between, which the next Attach tells
	}
	return done, errors.New("a session is begun or resumed again and again, so that it cannot be ended")
}

func endUser(ctx context.Context, c *call) error {
	if len(c.args) != 2 {
		return wrongf("end: with -user it takes a KEY and a VALUE; see storectl help end")
	}
	x, in, err := c.indexed(ctx)
	if err != nil {
		return err
	}
	if err := c.askable(); err != nil {
		return err
	}
	if err := c.open(ctx, nil); err != nil {
		return err
	}
	ss, err := c.sessions(x, in)
	if err != nil {
		return err
	}
	defer ss.Close(context.WithoutCancel(ctx))
	if !c.yes {
		n, err := x.count(ctx, ss)
		if err == nil && n == 0 {
			err = c.nothingFound(ctx, ss)
		}
		if err != nil {
			return err
		}
		question := fmt.Sprintf("End all sessions of namespace %s with this value, %d at present?", c.store.Namespace(), n)
		if err := c.ask(ctx, question); err != nil {
			return err
		}
	}
	n, err := x.destroyAll(ctx, ss)
	if err != nil {
		return &partError{fmt.Sprintf("%s ended before, and some may be left", many(n, "session")), err}
	}
	if n == 0 {
		if err := c.nothingFound(ctx, ss); err != nil {
			return err
		}
	}
	if c.json {
		return c.out.object(ended{Ended: n})
	}
	c.out.line("%s ended.", many(n, "session"))
	return nil
}

// askable refuses a question that nobody could answer.
func (c *call) askable() error {
	if !c.yes && !isTerminal(c.stdin) {
		return wrongf("%s: it asks before it ends sessions, and the standard input is no terminal; give -yes", c.name)
	}
	return nil
}

var errDeclined = errors.New("nothing was ended")

// ask returns nil when the answer is yes.
func (c *call) ask(ctx context.Context, question string) error {
	if c.yes {
		return nil
	}
	c.progress.clear()
	fmt.Fprintf(c.stderr, "%s [y/N] ", question)
	answer := make(chan string, 1)
	go func(stdin *os.File) {
		line, _ := bufio.NewReader(stdin).ReadString('\n') // without a line the answer is no
		answer <- line
	}(c.stdin)
	select {
	case line := <-answer:
		switch strings.ToLower(strings.TrimSpace(line)) {
		case "y", "yes":
			return nil
		}
		return errDeclined
	case <-ctx.Done():
		return ctx.Err()
	}
}
