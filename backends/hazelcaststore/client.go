package hazelcaststore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hazelcast/hazelcast-go-client"
	"github.com/hazelcast/hazelcast-go-client/hzerrors"
	"github.com/hazelcast/hazelcast-go-client/logger"
)

const (
	// replaceAfter is how long no call may succeed before a client that the backend
	// owns is replaced. After two broken connections in a row the client waits for
	// two minutes before it looks for the cluster again.
	replaceAfter = 5 * time.Second

	// replaceTimeout bounds the start of the new client.
	replaceTimeout = 10 * time.Second

	// shutdownTimeout bounds the shutting down of a client: one that is about to
	// reconnect can hang there for minutes, whatever its context says.
	shutdownTimeout = 10 * time.Second
)

// Open starts a client and returns a Backend on it. Close shuts the client down. A nil
// opts means defaults.
//
// When a client has lost the cluster, a new one replaces it after some seconds without success. The
// Backend and its Stores go on. Open returns at once when the cluster refuses the client, because
// of its name or of the credentials, and then the error satisfies errors.Is(err,
// [hzerrors.ErrAuthentication]). The client's own log is kept unless config names a custom logger.
func Open(ctx context.Context, config hazelcast.Config, opts *Options) (*Backend, error) {
	o := &ownClient{config: config, words: &lastWords{next: config.Logger.CustomLogger, addresses: known(config.Cluster.Network.Addresses)}}
	o.config.Logger.Level = ""
	o.config.Logger.CustomLogger = o.words
	client, err := o.start(ctx)
	if err != nil {
		return nil, err
	}
	b, err := New(ctx, client, opts)
	if err != nil {
		return nil, errors.Join(err, shutdown(client))
	}
	b.own.Store(o)
	return b, nil
}

// An ownClient is what the backend needs to replace its client.
type ownClient struct {
	config  hazelcast.Config
	words   *lastWords
	since   atomic.Int64 // when the first of the calls failed that have failed in a row, in nanoseconds since 1970; 0 for none
	at      atomic.Bool  // a new client is being started
	closing sync.Once
}

// start connects a client. It ends at once when every member refuses it.
func (o *ownClient) start(ctx context.Context) (*hazelcast.Client, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	o.words.begin(cancel)
	client, err := hazelcast.StartNewClientWithConfig(ctx, o.config)
	if err == nil {
		return client, nil
	}
	if cause := context.Cause(ctx); errors.Is(cause, hzerrors.ErrAuthentication) {
		return nil, cause
	}
	if said := o.words.last(); said != "" {
		return nil, fmt.Errorf("%s: %w", said, err)
	}
	return nil, err
}

// failed notes that a call has failed, and has the client replaced when none has
// succeeded for a while.
func (b *Backend) failed() {
	o := b.own.Load()
	if o == nil {
		return
	}
	now := time.Now().UnixNano()
	since := o.since.Load()
	if since == 0 {
		o.since.CompareAndSwap(0, now)
		return
	}
	if time.Duration(now-since) < replaceAfter || !o.at.CompareAndSwap(false, true) {
		return
	}
	if b.begin() != nil {
		return
	}
	go func() {
		defer b.calls.Done()
		defer o.at.Store(false)
		b.replaceClient(o)
		o.since.Store(0)
	}()
}

// succeeded notes that a call has succeeded.
func (b *Backend) succeeded() {
	if o := b.own.Load(); o != nil && o.since.Load() != 0 {
		o.since.Store(0)
	}
}

// replaceClient puts a new client in the place of the one that does not get through. It
// leaves that one alone when there is no new one.
func (b *Backend) replaceClient(o *ownClient) {
	ctx, cancel := context.WithTimeout(b.ctx, replaceTimeout)
	defer cancel()
	client, err := o.start(ctx)
	if err != nil {
		return
	}
	m, err := client.GetMap(ctx, b.mapName())
	if err == nil {
		err = b.follow(client)
	}
	if err != nil {
		_ = shutdown(client)
		return
	}
	b.wire.current.Store(m)
	before := b.client.Swap(client)
	b.clock.due.Store(true)
	b.notices.changed()
	go func() { _ = shutdown(before) }() // it may take minutes
}

// closeClient shuts down the client that the backend owns, once.
func (b *Backend) closeClient() (err error) {
	if o := b.own.Load(); o != nil {
		o.closing.Do(func() { err = shutdown(b.client.Load()) })
	}
	return err
}

func shutdown(client *hazelcast.Client) error {
	done := make(chan error, 1)
	go func() { done <- client.Shutdown(context.Background()) }()
	select {
	case err := <-done:
		return err
	case <-time.After(shutdownTimeout):
		return errors.New("the Hazelcast client does not shut down; it is left to end later")
	}
}

// errRefused: every member has refused the client.
var errRefused = fmt.Errorf("the cluster refuses this client; check the cluster name, the user and the password: %w", hzerrors.ErrAuthentication)

// lastWords is a logger that keeps what the client says about connecting: it does not
// return that, but only that it took too long. It asks for no text of a debug message: the
// client reads for some of them what it writes at the same time.
type lastWords struct {
	next      logger.Logger // may be nil
	addresses int           // how many members are tried in a round; zero when that is not known

	mu      sync.Mutex
	cancel  context.CancelCauseFunc // guarded by mu; of the start
	said    string                  // guarded by mu
	tried   map[string]bool         // guarded by mu; members that failed within this round: whether they refused
	refused int                     // guarded by mu; of those
}

// known returns the number of addresses, zero when one has no port, so that the client
// tries several.
func known(addresses []string) int {
	for _, a := range addresses {
		if _, _, err := net.SplitHostPort(a); err != nil {
			return 0
		}
	}
	return len(addresses)
}

func (w *lastWords) begin(cancel context.CancelCauseFunc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cancel, w.said = cancel, ""
	w.newRound()
}

func (w *lastWords) newRound() { w.tried, w.refused = make(map[string]bool), 0 }

func (w *lastWords) last() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.said
}

// Log implements [logger.Logger].
func (w *lastWords) Log(weight logger.Weight, text func() string) {
	if w.next != nil {
		w.next.Log(weight, text)
	}
	if weight > logger.WeightError {
		return
	}
	said := text()
	rest, member := strings.CutPrefix(said, "cannot connect to ")
	if !member {
		return
	}
	address, _, _ := strings.Cut(rest, ": ")
	refused := strings.Contains(said, hzerrors.ErrAuthentication.Error()) || strings.Contains(said, "invalid credentials") ||
		strings.Contains(said, hzerrors.ErrClientNotAllowedInCluster.Error())
	w.mu.Lock()
	defer w.mu.Unlock()
	w.said = summary(said)
	over := w.addresses
	if _, again := w.tried[address]; again {
		over = len(w.tried) // a round has ended, and with it is known how many there are
	}
	if over > 0 && over == len(w.tried) && w.refused < over {
		w.newRound()
	}
	if _, again := w.tried[address]; !again {
		w.tried[address] = refused
		if refused {
			w.refused++
		}
	}
	if w.refused == len(w.tried) && w.refused == over && w.cancel != nil {
		w.cancel(errRefused)
	}
}
