package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends"
	"github.com/sessionkv/store/codec"
	"github.com/sessionkv/store/internal/keyspace"
	"github.com/sessionkv/store/internal/testserver"
)

var program string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "storectl")
	if err != nil {
		panic(err)
	}
	program = filepath.Join(dir, "storectl.exe")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		os.Exit(1)
	}
	code := testserver.Main(m)
	os.RemoveAll(dir)
	os.Exit(code)
}

// A bench is a store with sessions, and the command that looks at it.
type bench struct {
	t        *testing.T
	url      string
	backend  store.Backend
	sessions *store.Sessions
	secrets  []string // IDs, which no output shows without -ids
}

var (
	userID = store.Key[string]("userId")
	visits = store.Key[int]("visits")
	claims = store.Key[map[string]any]("claims").With(codec.JSON)
	blob   = store.Key[[]byte]("blob").With(codec.Raw)
)

var benches atomic.Int64

// newBench opens the store at address, in a namespace of its own.
func newBench(t *testing.T, address string) *bench {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("namespace", fmt.Sprintf("ctl-%d-%d", os.Getpid(), benches.Add(1)))
	u.RawQuery = q.Encode()
	b := &bench{t: t, url: u.String()}
	if b.backend, err = backends.Open(t.Context(), b.url); err != nil {
		t.Fatal(err)
	}
	b.sessions, err = store.New(b.backend, &store.Options{Indexes: []store.Index{userID.Index()}, Lease: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		b.sessions.Close(ctx)
		b.backend.Close()
	})
	return b
}

func (b *bench) create(id string, values ...store.Change) *store.Session {
	b.t.Helper()
	s, err := b.sessions.Create(b.t.Context(), id, values...)
	if err != nil {
		b.t.Fatal(err)
	}
	b.secrets = append(b.secrets, id)
	return s
}

func (b *bench) lives(id string) bool {
	b.t.Helper()
	_, err := b.sessions.Attach(b.t.Context(), id)
	if err != nil && !errors.Is(err, store.ErrNoSession) {
		b.t.Fatal(err)
	}
	return err == nil
}

// A result is what a run of the command left.
type result struct {
	t           *testing.T
	call        string
	out, errOut string
	code        int
}

// run runs the command with STORE_URL.
func (b *bench) run(args ...string) *result { return b.runWith("", args...) }

func (b *bench) runWith(stdin string, args ...string) *result {
	b.t.Helper()
	r := runCommand(b.t, []string{"STORE_URL=" + b.url}, stdin, args...)
	if !slices.Contains(args, "-ids") {
		for _, id := range b.secrets {
			for _, form := range []string{id, keyspace.Escape(id)} {
				if strings.Contains(r.out+r.errOut, form) {
					b.t.Errorf("%s shows a session ID without -ids:\n%s%s", r.call, r.out, r.errOut)
				}
			}
		}
	}
	return r
}

func runCommand(t *testing.T, env []string, stdin string, args ...string) *result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "STORE_URL=") || strings.HasPrefix(v, sealingVariable+"=")
	}), env...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	if ctx.Err() != nil {
		t.Fatalf("storectl %s does not end\n%s", args[0], errOut.String())
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	name := "storectl"
	if len(args) > 0 {
		name += " " + args[0]
	}
	return &result{t, name, out.String(), errOut.String(), cmd.ProcessState.ExitCode()}
}

// exits checks the code, and that an error is one line.
func (r *result) exits(code int) *result {
	r.t.Helper()
	if r.code != code {
		r.t.Errorf("%s exits with %d, want %d\n%s%s", r.call, r.code, code, r.out, r.errOut)
	}
	if lines := strings.Count(r.errOut, "\n"); code != 0 && lines != 1 || code == 0 && r.errOut != "" {
		r.t.Errorf("%s exits with %d and writes %d lines to stderr, want one for an error and none else:\n%s", r.call, r.code, lines, r.errOut)
	}
	return r
}

func (r *result) says(texts ...string) *result {
	r.t.Helper()
	for _, text := range texts {
		if !strings.Contains(r.out+r.errOut, text) {
			r.t.Errorf("%s says\n%s%s\nwant %q in it", r.call, r.out, r.errOut, text)
		}
	}
	return r
}

// objects returns the lines of JSON.
func (r *result) objects() (all []map[string]any) {
	r.t.Helper()
	for line := range strings.Lines(r.out) {
		var v map[string]any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			r.t.Fatalf("%s writes %q, want an object of JSON: %v", r.call, line, err)
		}
		all = append(all, v)
	}
	return all
}

// stores are those that every command is run against.
func stores(t *testing.T, f func(t *testing.T, address string)) {
	t.Run("redis", func(t *testing.T) { f(t, testserver.SharedRedis(t).URL) })
	t.Run("cluster", func(t *testing.T) {
		c := testserver.RedisCluster(t)
		f(t, "redis+cluster://"+strings.Join(c.Addrs[:3], ","))
	})
	t.Run("hazelcast", func(t *testing.T) {
		c := testserver.Hazelcast(t, 1, testserver.WithMap("*:sessions", time.Hour, 0))
		f(t, "hazelcast://"+strings.Join(c.Addrs, ",")+"/"+c.ClusterName)
	})
}
