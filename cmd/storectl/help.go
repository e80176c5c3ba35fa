package main

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"text/tabwriter"
)

var helpCommand = &command{
	name: "help", usage: []string{"help [COMMAND]"}, args: "a COMMAND", summary: "explain a command", most: 1, offline: true,
	help: "Help lists the commands, or explains the one that is named.",
	run:  func(_ context.Context, c *call) error { return c.help() },
}

const about = `storectl looks at the sessions of a store, and ends, saves and restores them.

	storectl COMMAND [flags] [arguments]

`

const everywhere = `
The store is named by the environment variable STORE_URL, or by -url, in the form that package backends
describes: redis://, rediss://, redis+sentinel://, redis+cluster://, valkey://, dragonfly:// or hazelcast://, with
?namespace=NAME. A password in -url is in the list of processes and the history of the shell; one in
STORE_URL is not.

A session ID is a credential. None is shown without -ids; a name such as ~k3vjx2mq7a4wd5ru stands for it, which is a
hash of the ID and of the namespace. Where a command takes an ID, it also takes such a name (it then looks through all sessions),
- for IDs from the standard input, one on each line, and @FILE for IDs from a file. Bytes of an ID other than A-Z a-z 0-9 _ . - are
written as %XX.

Exit codes: 0 done, 1 something failed, 2 wrong input, 130 interrupted.
`

func (c *call) help() error {
	w := c.out.w
	if len(c.args) > 0 {
		asked := commandOf(c.args[0])
		if asked == nil {
			return wrongf("unknown command%s; storectl help lists them", shown(c.args[0]))
		}
		return asked.explain(c)
	}
	w.WriteString(about)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, k := range commands {
		fmt.Fprintf(t, "\t%s\t%s\n", k.name, k.summary)
	}
	t.Flush()
	_, err := w.WriteString(everywhere)
	return err
}

// explain writes the help of one command.
func (k *command) explain(c *call) error {
	w := c.out.w
	set := (&call{command: k}).flagSet()
	has := false
	set.VisitAll(func(*flag.Flag) { has = true })
	for _, usage := range k.usage {
		fmt.Fprintf(w, "storectl %s\n", usage)
	}
	fmt.Fprintf(w, "\n%s\n", strings.TrimSpace(k.help))
	if !has {
		return nil
	}
	fmt.Fprint(w, "\nFlags:\n\n")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	set.VisitAll(func(f *flag.Flag) {
		kind, text := flag.UnquoteUsage(f)
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" {
			text += "; by default " + f.DefValue
		}
		fmt.Fprintf(t, "\t%s\t%s\n", strings.TrimSpace("-"+f.Name+" "+kind), text)
	})
	return t.Flush()
}
