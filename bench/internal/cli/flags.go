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
	stores    []string
	codecs    []string
	against   []string
	workloads []workload.Workload
	value     string // "claims", "rooms", "handshake" or "string"
	sizes     []int  // of strings
	valueText string
	sessions  int
	keys      int
	workers   []int
	duration  time.Duration
	rate      float64
	repeat    int
	delay     time.Duration
	jsonFile  string
	htmlFile  string
}

// list is a flag that may be repeated and may hold several parts.
type list struct {
	parts *[]string
	split bool
}

func (l list) String() string { return "" }

func (l list) Set(text string) error {
	if !l.split {
		*l.parts = append(*l.parts, text)
		return nil
	}
	for part := range strings.SplitSeq(text, ",") {
		*l.parts = append(*l.parts, strings.TrimSpace(part))
	}
	return nil
}

const usage = `Compare backends and other libraries for session state.

Without flags it measures memory with both codecs. For instance:

  go run ./bench -store redis://127.0.0.1:6379 -against goredis,rueidis -workers 1,16,256
  go run ./bench -workload life -store memory: -store hazelcast://127.0.0.1:5701/dev
  go run ./bench -mix get=90,set=10 -rate 20000 -store redis://127.0.0.1:6379

`

// parse reads the command line. Its errors are one line each.
func parse(args []string, stderr io.Writer) (*options, error) {
	o := &options{}
	var workloads, mixes, workers []string
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.Var(list{parts: &o.stores}, "store", "`URL` of a backend; may be repeated (default memory:)")
	f.Var(list{&o.codecs, true}, "codec", "msgpack, json, or both (default both on memory, msgpack elsewhere)")
	f.Var(list{&o.against, true}, "against", "other libraries in the same run: all, or `names` of "+strings.Join(system.Rivals(), ", "))
	f.Var(list{&workloads, true}, "workload", "YCSB a, b, c, d, f, or life (default b)")
	f.Var(list{parts: &mixes}, "mix", "own `mix`, such as get=90,set=10; may be repeated")
	f.IntVar(&o.sessions, "sessions", 1000, "number of sessions")
	f.IntVar(&o.keys, "keys", 3, "keys per session")
	f.StringVar(&o.valueText, "value", "100", "`sizes` of strings in bytes, such as 16,1024, or claims, rooms or handshake")
	f.Var(list{&workers, true}, "workers", "`numbers` of concurrent workers, such as 1,16,256 (default 16)")
	f.DurationVar(&o.duration, "duration", time.Second, "of each run")
	f.Float64Var(&o.rate, "rate", 0, "operations per second to start, latency counted from the intended start; 0: as fast as it goes")
	f.IntVar(&o.repeat, "repeat", 3, "runs of each case, in turns with the other cases")
	f.DurationVar(&o.delay, "delay", 0, "network delay of a round trip to put between clients and a Redis server")
	f.StringVar(&o.jsonFile, "json", "", "write all results to `file`")
	f.StringVar(&o.htmlFile, "html", "", "write a page with plots to `file`")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(stderr, usage)
			f.SetOutput(stderr)
			f.PrintDefaults()
			return nil, err
		}
		return nil, hideURL(err, args)
	}
	if f.NArg() > 0 {
		return nil, fmt.Errorf("there is no argument %q; flags begin with -", f.Arg(0))
	}
	return o, o.check(workloads, mixes, workers)
}

// hideURL keeps a URL, which may have a password in it, out of an error of the
// flag package.
func hideURL(err error, args []string) error {
	for _, a := range args {
		if strings.Contains(a, "://") {
			return errors.New("the flags cannot be read; -h shows them all")
		}
	}
	return fmt.Errorf("%w; -h shows all flags", err)
}

func (o *options) check(workloads, mixes, workers []string) error {
	for _, url := range o.stores {
		if address.Kind(url) == "" {
			return fmt.Errorf("the store URL %s has an unknown scheme; use memory:, redis://… or hazelcast://…", address.Redact(url))
		}
	}
	for _, c := range o.codecs {
		if c != "msgpack" && c != "json" {
			return fmt.Errorf("unknown codec %q; known are msgpack and json", c)
		}
	}
	for _, name := range workloads {
		w, err := workload.Named(name)
		if err != nil {
			return err
		}
		o.workloads = append(o.workloads, w)
	}
	for _, text := range mixes {
		w, err := workload.ParseMix(text)
		if err != nil {
			return err
		}
		o.workloads = append(o.workloads, w)
	}
	for _, text := range workers {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 100_000 {
			return fmt.Errorf("-workers %s: it must be numbers from 1 to 100000", text)
		}
		o.workers = append(o.workers, n)
	}
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
	if err := o.readValue(); err != nil {
		return err
	}
	return o.checkAgainst()
}

func (o *options) readValue() error {
	switch o.valueText {
	case "claims", "rooms", "handshake":
		o.value = o.valueText
		return nil
	}
	o.value = "string"
	for text := range strings.SplitSeq(o.valueText, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || n > 1<<20-16 {
			return fmt.Errorf("-value %s: it must be sizes from 0 to %d, or claims, rooms or handshake", o.valueText, 1<<20-16)
		}
		o.sizes = append(o.sizes, n)
	}
	return nil
}

// checkAgainst resolves "all" and finds servers for the rivals.
func (o *options) checkAgainst() error {
	kinds := []string{"memory"}
	for _, url := range o.stores {
		kinds = append(kinds, address.Kind(url))
		if o.delay > 0 && address.Kind(url) != "memory" && !address.Single(url) {
			return fmt.Errorf("-delay works with a single redis:// server without TLS, not with %s", address.Redact(url))
		}
	}
	if slices.Equal(o.against, []string{"all"}) {
		o.against = nil
		for _, name := range system.Rivals() {
			if kind, _ := system.Needs(name); slices.Contains(kinds, kind) {
				o.against = append(o.against, name)
			}
		}
		return nil
	}
	for _, name := range o.against {
		kind, err := system.Needs(name)
		if err != nil {
			return err
		}
		if !slices.Contains(kinds, kind) {
			return fmt.Errorf("-against %s needs a server: give -store %s://host:port as well", name, kind)
		}
	}
	return nil
}

// specs returns what is to be measured, each store with its rivals.
func (o *options) specs() []system.Spec {
	var specs []system.Spec
	seen := map[system.Spec]bool{}
	add := func(s system.Spec) {
		if !seen[s] {
			seen[s] = true
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
