package systemtest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends"
)

// indexNodeURL is set in the environment of a process that is an index node.
const indexNodeURL = "STORE_SYSTEMTEST_INDEX_NODE_URL"

func init() { processes[indexNodeURL] = indexNode }

// owner is the indexed key of these tests.
const owner = store.Key[string]("owner")

func indexOptions(lease time.Duration) *store.Options {
	return &store.Options{Lease: lease, Indexes: []store.Index{owner.Index()}}
}

// A deed is one operation on one session, as a node is told to do it.
type deed struct {
	Do    string // "create", "createFor", "set", "attach and set", "delete", "suspend", "resume", "rotate", "destroy", "extend"
	ID    string
	NewID string
	User  string
}

// A deedResult is what became of it: the kind of the error.
type deedResult struct {
	Kind string
}

// indexNode is the main function of a process that owns sessions. It answers each list of deeds with a list of results.
func indexNode(url string) int {
	lease, err := time.ParseDuration(os.Getenv(workerLease))
	if err != nil {
		panic(err)
	}
	opening, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	b, err := backends.Open(opening, url)
	if err != nil {
		fmt.Fprintln(os.Stderr, "index node:", err)
		return 1
	}
	ss, err := store.New(b, indexOptions(lease))
	if err != nil {
		fmt.Fprintln(os.Stderr, "index node:", err)
		return 1
	}
	in, out := json.NewDecoder(bufio.NewReader(os.Stdin)), json.NewEncoder(os.Stdout)
	for {
		var deeds []deed
		if in.Decode(&deeds) != nil {
			return 0
		}
		if out.Encode(doDeeds(context.Background(), ss, lease, deeds)) != nil {
			return 0
		}
	}
}

// doDeeds does all, some at a time.
func doDeeds(ctx context.Context, ss *store.Sessions, lease time.Duration, deeds []deed) []deedResult {
	results := make([]deedResult, len(deeds))
	next := make(chan int)
	var workers sync.WaitGroup
	for range 32 {
		workers.Go(func() {
			for i := range next {
				results[i].Kind = kind(doDeed(ctx, ss, lease, deeds[i]))
			}
		})
	}
	for i := range deeds {
		next <- i
	}
	close(next)
	workers.Wait()
	return results
}

var errNotOwned = errors.New("this process does not own the session")

func doDeed(ctx context.Context, ss *store.Sessions, lease time.Duration, d deed) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	switch d.Do {
	case "create":
		_, err := ss.Create(ctx, d.ID, owner.To(d.User))
		return err
	case "createFor":
		_, err := ss.CreateFor(ctx, d.ID, 3*lease, owner.To(d.User))
		return err
	case "resume":
		_, err := ss.Resume(ctx, d.ID)
		return err
	case "attach and set", "extend":
		s, err := ss.Attach(ctx, d.ID)
		if err != nil {
			return err
		}
		if d.Do == "extend" {
			return s.Extend(ctx, 3*lease)
		}
		return owner.Set(ctx, s, d.User)
	}
	s, ok := ss.Local(d.ID)
	if !ok {
		return errNotOwned
	}
	switch d.Do {
	case "set":
		return owner.Set(ctx, s, d.User)
	case "delete":
		return owner.Delete(ctx, s)
	case "suspend":
		return s.Suspend(ctx, 4*lease)
	case "rotate":
		_, err := ss.Rotate(ctx, s, d.NewID)
		return err
	case "destroy":
		return s.Destroy(ctx)
	}
	panic("index node: unknown deed " + d.Do)
}

// An indexProcess is a process that runs indexNode.
type indexProcess struct {
	cmd   *exec.Cmd
	mu    sync.Mutex // held while it does something
	tasks *json.Encoder
	done  *json.Decoder
	dead  bool
}

func startIndexProcess(t *testing.T, url string, lease time.Duration) *indexProcess {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), indexNodeURL+"="+url, workerLease+"="+lease.String())
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
	p := &indexProcess{cmd: cmd, tasks: json.NewEncoder(stdin), done: json.NewDecoder(bufio.NewReader(stdout))}
	t.Cleanup(p.kill)
	return p
}

// do returns nil when the process died meanwhile.
func (p *indexProcess) do(deeds []deed) []deedResult {
	p.mu.Lock()
	defer p.mu.Unlock()
	var results []deedResult
	if p.tasks.Encode(deeds) != nil || p.done.Decode(&results) != nil || len(results) != len(deeds) {
		return nil
	}
	return results
}

// kill ends the process with SIGKILL, whatever it does.
func (p *indexProcess) kill() {
	p.cmd.Process.Kill()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.dead {
		p.dead = true
		p.cmd.Wait()
	}
}
