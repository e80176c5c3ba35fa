package systemtest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends"
)

// A worker is a second process: this test binary, started again. It does what it is told line by
// line, and ends when its standard input does.
type worker struct {
	t     *testing.T
	cmd   *exec.Cmd
	tasks *json.Encoder
	stdin interface{ Close() error }

	replies chan reply
	exited  chan struct{}
}

// Environment of a worker.
const (
	workerURL   = "STORE_INTEGRATIONS_WORKER_URL"
	workerLease = "STORE_INTEGRATIONS_WORKER_LEASE"
	workerGrace = "STORE_INTEGRATIONS_WORKER_GRACE"

	workerVersion = "STORE_INTEGRATIONS_WORKER_VERSION"
)

// A task is one line to a worker. Handles have names, so that a worker can hold
// several of one session.
type task struct {
	Do     string // the name of a Session's or a Key's method, or one of work's own
	Handle string
	ID     string
	Key    string
	Value  string
}

// A reply is the line that answers a task.
type reply struct {
	Value string
	Kind  string // of the error
	N     int
}

// start starts a worker on the store at url.
func start(t *testing.T, url string, lease, grace time.Duration) *worker {
	t.Helper()
	return startVersion(t, url, "", lease, grace)
}

// startVersion starts a worker of the named version of the program; see [versions].
func startVersion(t *testing.T, url, version string, lease, grace time.Duration) *worker {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), workerURL+"="+url, workerLease+"="+lease.String(), workerGrace+"="+grace.String(), workerVersion+"="+version)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w := &worker{
		t: t, cmd: cmd, tasks: json.NewEncoder(stdin), stdin: stdin,
		replies: make(chan reply, 1), exited: make(chan struct{}),
	}
	go func() {
		defer close(w.exited)
		lines := json.NewDecoder(stdout)
		for {
			var r reply
			if lines.Decode(&r) != nil {
				break
			}
			w.replies <- r
		}
		cmd.Wait()
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-w.exited
	})
	w.must(task{Do: "ready"})
	return w
}

// do has the worker carry out k.
func (w *worker) do(k task) reply {
	w.t.Helper()
	w.send(k)
	return w.receive(k.Do)
}

// receive returns the worker's answer to do, which it was sent before.
func (w *worker) receive(do string) reply {
	w.t.Helper()
	select {
	case r := <-w.replies:
		return r
	case <-w.exited:
		w.t.Fatalf("the worker ended instead of answering %q", do)
	case <-time.After(patience):
		w.t.Fatalf("the worker did not answer %q", do)
	}
	return reply{}
}

// send has the worker begin to carry out k.
func (w *worker) send(k task) {
	w.t.Helper()
	if err := w.tasks.Encode(k); err != nil {
		w.t.Fatalf("task %q: %v", k.Do, err)
	}
}

// must is do of what must succeed.
func (w *worker) must(k task) reply {
	w.t.Helper()
	r := w.do(k)
	w.want(k, r, "")
	return r
}

// refused does k and checks that the answer is an error of this kind.
func (w *worker) refused(k task, kind string) {
	w.t.Helper()
	w.want(k, w.do(k), kind)
}

func (w *worker) want(k task, r reply, kind string) {
	w.t.Helper()
	if r.Kind != kind {
		w.t.Errorf("%s(%q) in the other process: error kind %q, want %q", k.Do, k.Key, r.Kind, kind)
	}
}

// exit lets the worker end without a signal.
func (w *worker) exit() {
	w.t.Helper()
	w.stdin.Close()
	select {
	case <-w.exited:
	case <-time.After(patience):
		w.t.Fatal("the worker did not exit")
	}
}

// kill ends the worker with SIGKILL.
func (w *worker) kill() {
	w.cmd.Process.Kill()
	<-w.exited
}

// work is the other side: the main function of a worker.
func work(url string) int {
	lease, err := time.ParseDuration(os.Getenv(workerLease))
	if err != nil {
		panic(err)
	}
	grace, err := time.ParseDuration(os.Getenv(workerGrace))
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	opening, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	b, err := backends.Open(opening, url)
	if err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		return 1
	}
	o, err := optionsOf(os.Getenv(workerVersion))
	if err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		return 1
	}
	o.Lease, o.Grace = lease, grace
	ss, err := store.New(b, o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		return 1
	}
	j := &job{
		ctx: ctx, sessions: ss,
		handles: make(map[string]*store.Session),
	}
	out := json.NewEncoder(os.Stdout)
	in := json.NewDecoder(bufio.NewReader(os.Stdin))
	for {
		var k task
		if in.Decode(&k) != nil {
			break
		}
		value, n, err := j.do(k)
		if err := out.Encode(reply{Value: value, N: n, Kind: kind(err)}); err != nil {
			break
		}
	}
	if err := j.sessions.Close(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "worker: close:", err)
		return 1
	}
	b.Close()
	return 0
}

// A job is what a worker has in hand.
type job struct {
	ctx      context.Context
	sessions *store.Sessions
	handles  map[string]*store.Session
	hammers  sync.WaitGroup
	written  int
	hammered error
	climbed  chan ascended
}

// An ascended writer came so far, until err stopped it.
type ascended struct {
	n   int
	err error
}

func (j *job) do(k task) (value string, n int, err error) {
	ctx, s, key := j.ctx, j.handles[k.Handle], store.Key[string](k.Key)
	switch k.Do {
	case "ready":
	case "Create":
		j.handles[k.Handle], err = j.sessions.Create(ctx, k.ID, key.To(k.Value))
	case "Attach":
		j.handles[k.Handle], err = j.sessions.Attach(ctx, k.ID)
	case "Resume":
		j.handles[k.Handle], err = j.sessions.Resume(ctx, k.ID)
	case "Get":
		value, err = key.Get(ctx, s)
	case "Set":
		err = key.Set(ctx, s, k.Value)
	case "SetIfAbsent":
		_, err = key.SetIfAbsent(ctx, s, k.Value)
	case "Delete":
		err = key.Delete(ctx, s)
	case "Update":
		value, err = key.Update(ctx, s, func(string, bool) (string, error) { return k.Value, nil })
	case "Save":
		err = store.Save(ctx, s, key.To(k.Value), store.Key[string]("also").To(k.Value))
	case "Destroy":
		err = s.Destroy(ctx)
	case "Suspend":
		err = s.Suspend(ctx, long)
	case "Done": // waits for it
		<-s.Done()
		err = s.Err()
	case "CreateMany":
		if n, err = strconv.Atoi(k.Value); err == nil {
			err = j.createMany(n)
		}
	case "hammer": // writes all the time, until refused
		j.hammers.Go(func() {
			for j.hammered == nil {
				switch err := key.Set(ctx, s, k.Value); {
				case err == nil:
					j.written++
				case !errors.Is(err, store.ErrUnknownOutcome): // that of a write that was on its way is
					j.hammered = err
				}
			}
		})
	case "Rotate":
		j.handles[k.Handle+" rotated"], err = j.sessions.Rotate(ctx, s, k.ID, key.To(k.Value))
	case "climb": // writes 1, 2, 3 until refused
		j.climbed = make(chan ascended, 1)
		go func() {
			for n := 1; ; n++ {
				if err := key.Set(ctx, s, strconv.Itoa(n)); err != nil {
					j.climbed <- ascended{n - 1, err}
					return
				}
			}
		}()
	case "climbed": // waits for the end of that
		c := <-j.climbed
		n, err = c.n, c.err
	case "hammered": // waits for the end of that
		j.hammers.Wait()
		n, err = j.written, j.hammered
	default:
		panic("worker: unknown task " + k.Do)
	}
	return value, n, err
}

// createMany creates n sessions, many at once.
func (j *job) createMany(n int) error {
	errs := make(chan error)
	ids := make(chan string)
	for range 64 {
		go func() {
			var first error
			for id := range ids {
				if _, err := j.sessions.Create(j.ctx, id); err != nil && first == nil {
					first = err
				}
			}
			errs <- first
		}()
	}
	for range n {
		ids <- store.NewID()
	}
	close(ids)
	var err error
	for range 64 {
		if e := <-errs; e != nil {
			err = e
		}
	}
	return err
}
