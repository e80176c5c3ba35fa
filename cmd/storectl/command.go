package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/sessionkv/store"
)

// A command is one that storectl has.
type command struct {
	name    string
	usage   []string
	args    string // what it takes, as errors say it
	summary string // one line
	help    string
	least   int // arguments
	most    int
	run     func(context.Context, *call) error
	flags   func(*flag.FlagSet, *flags) // of its own
	offline bool                        // needs no store
}

// flags are those of all commands. Each command takes some of them.
type flags struct {
	url  string
	json bool
	ids  bool

	long      bool
	limit     int
	yes       bool
	user      bool
	valueType string
	codec     string
	sealing   string
	interval  time.Duration
	count     int
	perKey    bool
	output    string
	overwrite bool
	lease     time.Duration
	elsewhere bool
}

// A call is one run of a command.
type call struct {
	flags
	*command
	args     []string
	stdin    *os.File
	stderr   io.Writer
	out      *output
	progress *progress
	store    store.Backend
	scheme   string       // of its URL
	ring     store.Sealer // nil without sealing keys
	unread   unread
}

var commands []*command

func init() { // help looks into commands
	commands = []*command{
		checkCommand, lsCommand, showCommand, findCommand, endCommand, statsCommand, watchCommand, dumpCommand, restoreCommand, helpCommand,
	}
}

func commandOf(name string) *command {
	for _, c := range commands {
		if c.name == name {
			return c
		}
	}
	return nil
}

// parse returns the call that the arguments ask for.
func parse(args []string) (*call, error) {
	if len(args) == 0 {
		return &call{command: helpCommand}, nil
	}
	name, rest := args[0], args[1:]
	switch name {
	case "-h", "-help", "--help":
		return &call{command: helpCommand, args: rest}, nil
	}
	c := commandOf(name)
	if c == nil {
		return nil, wrongf("unknown command%s; storectl help lists them", shown(name))
	}
	k := &call{command: c}
	set := k.flagSet()
	positional, err := parseFlags(set, rest)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return &call{command: helpCommand, args: []string{name}}, nil
	case err != nil:
		return nil, wrongf("%s: %v; see storectl help %s", name, err, name)
	case len(positional) < c.least:
		return nil, wrongf("%s: it takes %s; see storectl help %s", name, c.args, name)
	case len(positional) > c.most && c.args == "":
		return nil, wrongf("%s: it takes no argument; see storectl help %s", name, name)
	case len(positional) > c.most:
		return nil, wrongf("%s: it takes %s and nothing more; see storectl help %s", name, c.args, name)
	}
	k.args = positional
	return k, nil
}

func (k *call) flagSet() *flag.FlagSet {
	set := flag.NewFlagSet(k.name, flag.ContinueOnError)
	set.SetOutput(io.Discard)
	if !k.offline {
		set.StringVar(&k.url, "url", "", "the `URL` of the store; better in STORE_URL, where nobody sees its password")
		set.BoolVar(&k.json, "json", false, "write JSON: one object, or one for each line")
		set.BoolVar(&k.ids, "ids", false, "show session IDs; whoever has one can be that session's client")
	}
	if k.command.flags != nil {
		k.command.flags(set, &k.flags)
	}
	return set
}

// parseFlags takes flags from anywhere among the arguments before "--".
func parseFlags(set *flag.FlagSet, args []string) (positional []string, err error) {
	var last []string
	for i, arg := range args {
		if arg == "--" {
			args, last = args[:i], args[i+1:]
			break
		}
	}
	for len(args) > 0 {
		if err := set.Parse(args); err != nil {
			return nil, flagError(set, err)
		}
		if args = set.Args(); len(args) > 0 {
			positional, args = append(positional, args[0]), args[1:]
		}
	}
	return append(positional, last...), nil
}

// flagError repeats nothing that may be a session ID.
func flagError(set *flag.FlagSet, err error) error {
	text := err.Error()
	switch {
	case errors.Is(err, flag.ErrHelp):
		return err
	case strings.HasPrefix(text, "flag provided but not defined: -"):
		return fmt.Errorf("unknown flag%s", shown(strings.TrimPrefix(text, "flag provided but not defined: ")))
	case strings.HasPrefix(text, "bad flag syntax"):
		return errors.New("an argument that begins with a hyphen stands behind --")
	case strings.HasPrefix(text, "flag needs an argument: "):
		return fmt.Errorf("the flag %s needs a value", strings.TrimPrefix(text, "flag needs an argument: "))
	}
	_, name, ok := strings.Cut(text, " for flag -")
	if !ok {
		_, name, _ = strings.Cut(text, " for -")
	}
	name, _, _ = strings.Cut(name, ":")
	if set.Lookup(name) == nil {
		return errors.New("a flag has a value that does not fit")
	}
	return fmt.Errorf("the value of the flag -%s does not fit: it is %s", name, kindOf(set.Lookup(name)))
}

func kindOf(f *flag.Flag) string {
	switch f.Value.(flag.Getter).Get().(type) {
	case bool:
		return "true or false"
	case int:
		return "a number"
	case time.Duration:
		return "a duration such as 500ms, 10s or 2h"
	}
	return "a text"
}

// shown repeats what was typed if it is a short word, which no session ID is.
func shown(name string) string {
	word := strings.TrimLeft(name, "-")
	if len(word) == 0 || len(word) > 12 || strings.Trim(word, "abcdefghijklmnopqrstuvwxyz") != "" {
		return ""
	}
	return " " + name
}

// oneLine makes an error one line that a terminal can show.
func oneLine(text string) string { return printable(strings.Join(strings.Fields(text), " ")) }
