package batch

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sessionkv/store/backends/internal/panics"
)

// lookupTimeout bounds one look-up of a cluster's nodes that nobody else bounds.
const lookupTimeout = 10 * time.Second

// Nodes finds the node of a cluster that serves a key. The client looks up the nodes on the
// goroutine of whoever asks first, and of everybody else until it has found them once. It does not
// keep to their contexts. Nodes lets one look-up do for all, aside, and each wait for it as long as
// its own context lasts.
//
// Once the nodes are known the client asks for changes in the background.
type Nodes struct {
	cluster *redis.ClusterClient
	known   atomic.Bool

	mu     sync.Mutex
	lookup *lookup // guarded by mu; the one on its way
}

// A lookup is one look-up of all nodes.
type lookup struct {
	done chan struct{} // closed when err is valid
	err  error
}

// NewNodes returns the nodes of cluster.
func NewNodes(cluster *redis.ClusterClient) *Nodes { return &Nodes{cluster: cluster} }

// Master returns the client of the node that serves key. It fails when ctx ends
// first, with its cause. No command was sent then.
func (n *Nodes) Master(ctx context.Context, key string) (*redis.Client, error) {
	if !n.known.Load() {
		if err := n.find(ctx); err != nil {
			return nil, err
		}
	}
	return n.cluster.MasterForKey(ctx, key)
}

// find waits until the nodes are known.
func (n *Nodes) find(ctx context.Context) error {
	n.mu.Lock()
	l := n.lookup
	if l == nil {
		l = &lookup{done: make(chan struct{})}
		n.lookup = l
		go n.look(l)
	}
	n.mu.Unlock()
	select {
	case <-l.done:
		return l.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// look carries out l. Of a look-up that outlasts its time nothing is awaited.
func (n *Nodes) look(l *lookup) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), lookupTimeout, errLookup)
	defer cancel()
	found := make(chan error, 1)
	go func() {
		err := panics.Guard(func() error { _, err := n.cluster.MasterForKey(ctx, ""); return err })
		if err == nil {
			n.known.Store(true)
		}
		found <- err
	}()
	select {
	case l.err = <-found:
	case <-ctx.Done():
		l.err = context.Cause(ctx)
	}
	n.mu.Lock()
	n.lookup = nil
	n.mu.Unlock()
	close(l.done)
}

var errLookup = errors.New("no node of the cluster said in time which nodes there are")
