package cli

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sessionkv/store/bench/internal/address"
	"github.com/sessionkv/store/bench/internal/system"
	"github.com/sessionkv/store/bench/internal/workload"
)

// options is what the flags say.
type options struct {
	stores, codecs, against []string
	workloads               []workload.Workload
	value                   string // "claims", "rooms", "handshake" or what sizes says
	sizes                   []int  // of strings
	sessions, keys          int
	workers                 []int
	duration, delay         time.Duration
	rate                    float64
	repeat                  int
	jsonFile, htmlFile      string
}

const usage = `Compare backends and other libraries for session state.

Without flags it measures memory with both codecs. For instance:

  go run ./bench -store redis://127.0.0.1:6379 -against goredis,rueidis -workers 1,16,256
  go run ./bench -workload life -store memory: -store hazelcast://127.0.0.1:5701/dev
  go run ./bench -mix get=90,set=10 -rate 20000 -store redis://127.0.0.1:6379

`

// parts makes a flag of several parts of one that takes one.
func parts(set func(part string) error) func(string) error {
	return func(text string) error {
		for part := range strings.SplitSeq(text, ",") {
			if err := set(strings.TrimSpace(part)); err != nil {
				return err
			}
		}
		return nil
	}
}

// parse reads the command line. Its errors are one line each.
func parse(args []string, stderr io.Writer) (*options, error) {
	o := &options{value: "100", sizes: []int{100}}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.Func("store", "`URL` of a backend; may be repeated (default memory:)", func(url string) error {
		o.stores = append(o.stores, url)
		return nil
	})
	f.Func("codec", "msgpack, json, or both (default both on memory, msgpack elsewhere)", parts(func(c string) error {
		o.codecs = append(o.codecs, c)
		if c != "msgpack" && c != "json" {
			return errors.New("known are msgpack and json")
		}
		return nil
	}))
	f.Func("against", "other libraries in the same run: all, or `names` of "+strings.Join(system.Rivals(), ", "), parts(func(name string) error {
		o.against = append(o.against, name)
		return nil
	}))
	load := func(named func(string) (workload.Workload, error)) func(string) error {
		return func(text string) error {
			w, err := named(text)
			o.workloads = append(o.workloads, w)
			return err
		}
	}
	f.Func("workload", "YCSB a, b, c, d, f, or life (default b)", parts(load(workload.Named)))
	f.Func("mix", "own `mix`, such as get=90,set=10; may be repeated", load(workload.ParseMix))
	f.IntVar(&o.sessions, "sessions", 1000, "number of sessions")
	f.IntVar(&o.keys, "keys", 3, "keys per session")
	f.Func("value", "`sizes` of strings in bytes, such as 16,1024, or claims, rooms or handshake (default 100)", func(text string) error {
		o.value, o.sizes = text, nil
		if slices.Contains([]string{"claims", "rooms", "handshake"}, text) {
			return nil
		}
		return parts(func(text string) error { return number(&o.sizes, text, 0, 1<<20-16) })(text)
	})
	f.Func("workers", "`numbers` of concurrent workers, such as 1,16,256 (default 16)", parts(func(text string) error {
		return number(&o.workers, text, 1, 100_000)
	}))
	f.DurationVar(&o.duration, "duration", time.Second, "of each run")
	f.Float64Var(&o.rate, "rate", 0, "operations per second to start, latency counted from the intended start; 0: as fast as it goes")
	f.IntVar(&o.repeat, "repeat", 3, "runs of each case, in turns with the other cases")
	f.DurationVar(&o.delay, "delay", 0, "network delay of a round trip to put between clients and a Redis server")
	f.StringVar(&o.jsonFile, "json", "", "write all results to `file`")
	f.StringVar(&o.htmlFile, "html", "", "write a page with plots to `file`")
	switch err := f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stderr, usage)
		f.SetOutput(stderr)
		f.PrintDefaults()
		return nil, err
	case err != nil && strings.Contains(err.Error(), "://"): // a URL may have a password in it
		return nil, errors.New("the flags cannot be read; -h shows them all")
	case err != nil:
		return nil, fmt.Errorf("%w; -h shows all flags", err)
	case f.NArg() > 0:
		return nil, fmt.Errorf("there is no argument %q; flags begin with -", f.Arg(0))
	}
	return o, o.check()
}

// number appends a number from least to most.
func number(to *[]int, text string, least, most int) error {
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return fmt.Errorf("it must be numbers from %d to %d", least, most)
	}
	*to = append(*to, n)
	return nil
}

// check completes what was not given, and says what does not go.
func (o *options) check() error {
	switch {
	case o.sessions < 1 || o.sessions > 10_000_000:
		return fmt.Errorf("-sessions %d: it must be from 1 to 10000000", o.sessions)
	case o.keys < 1 || o.keys > 1000:
		return fmt.Errorf("-keys %d: it must be from 1 to 1000", o.keys)
	case o.duration < time.Millisecond:
		return fmt.Errorf("-duration %v: it must be at least 1ms", o.duration)
	case !(o.rate >= 0 && o.rate <= 1e8):
		return fmt.Errorf("-rate %v: it must be from 0 to 100000000", o.rate)
	case o.repeat < 1 || o.repeat > 1000:
		return fmt.Errorf("-repeat %d: it must be from 1 to 1000", o.repeat)
	case o.delay < 0 || o.delay > 10*time.Second:
		return fmt.Errorf("-delay %v: it must be from 0 to 10s", o.delay)
	}
	kinds := []string{"memory"}
	for _, url := range o.stores {
		kind := address.Kind(url)
		if kind == "" {
			return fmt.Errorf("the store URL %s has an unknown scheme; use memory:, redis://… or hazelcast://…", address.Redact(url))
		}
		if o.delay > 0 && kind != "memory" && !address.Single(url) {
			return fmt.Errorf("-delay works with a single redis:// server without TLS, not with %s", address.Redact(url))
		}
		kinds = append(kinds, kind)
	}
	all := slices.Equal(o.against, []string{"all"})
	if all {
		o.against = system.Rivals()
	}
	var against []string
	for _, name := range o.against {
		kind, err := system.Needs(name)
		switch there := slices.Contains(kinds, kind); {
		case err != nil:
			return err
		case there:
			against = append(against, name)
		case !all:
			return fmt.Errorf("-against %s needs a server: give -store %s://host:port as well", name, kind)
		}
	}
	o.against = against
	if len(o.stores) == 0 {
		o.stores = []string{"memory:"}
	}
	if len(o.workloads) == 0 {
		b, err := workload.Named("b")
		if err != nil {
			return err
		}
		o.workloads = []workload.Workload{b}
	}
	if len(o.workers) == 0 {
		o.workers = []int{16}
	}
	return nil
}

// specs returns what is to be measured, each store with its rivals.
func (o *options) specs() (specs []system.Spec) {
	add := func(s system.Spec) {
		if !slices.Contains(specs, s) {
			specs = append(specs, s)
		}
	}
	for _, url := range o.stores {
		codecs := o.codecs
		if len(codecs) == 0 {
			codecs = []string{"msgpack"}
			if address.Kind(url) == "memory" {
				codecs = []string{"msgpack", "json"}
			}
		}
		for _, c := range codecs {
			add(system.Spec{Name: "store", URL: url, Codec: c})
		}
	}
	for _, name := range o.against {
		kind, _ := system.Needs(name)
		if kind == "memory" {
			add(system.Spec{Name: name, URL: "memory:"})
			continue
		}
		for _, url := range o.stores {
			if address.Kind(url) == kind {
				add(system.Spec{Name: name, URL: url})
			}
		}
	}
	return specs
}
