package hazelcaststore

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hazelcast/hazelcast-go-client"
	"github.com/hazelcast/hazelcast-go-client/types"
	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/hazelcaststore/internal/document"
	"github.com/sessionkv/store/internal/notice"
)

var _ store.Watcher = (*Backend)(nil)

const (
	// listenPause is between the first two attempts to listen.
	listenPause = 100 * time.Millisecond

	// listenTimeout bounds an attempt, and the wait for an echo.
	listenTimeout = 5 * time.Second

	// echoAfter is how long nothing was heard when a process asks for an echo.
	echoAfter = 15 * time.Second

	// settledAfter is how long listening lasts when its break is worth another line in
	// the log.
	settledAfter = time.Minute

	// sendingTimeout bounds how long Close waits for hints to be sent.
	sendingTimeout = 2 * time.Second

	// leastLeft is the least time until a deadline is looked at again.
	leastLeft = 10 * time.Millisecond
)

// notices brings hints to other processes and takes theirs in, by a topic of the
// namespace.
//
//  1. What is published are hints, collected by a notice.Hub. Publishing comes after
//     the write, aside: it neither delays nor fails anything.
//  2. The first Watch listens. The client has a listener on every member, over the
//     connections that it has anyway, and adds it to new ones.
//  3. The client does not say whether it listens. So a process publishes a message that
//     hints at nobody, and has to hear it: at first, when the cluster has changed or the client was
//     exchanged, and when nothing was heard for a while. Then the Hub hints at everybody
//     once, except in the last case.
//  4. Without an echo it listens anew, ever later while that fails. The log gets one
//     line, and another one only when listening has lasted meanwhile.
type notices struct {
	b    *Backend
	hub  *notice.Hub
	name string // of the topic

	topic  atomic.Pointer[topic]
	heard  chan struct{} // holds a value after a message
	wake   chan struct{} // holds a value after a change of the cluster
	lost   atomic.Bool   // the client has lost the cluster
	broken atomic.Bool   // and that was logged
}

// A topic is the one of a client.
type topic struct {
	client *hazelcast.Client
	*hazelcast.Topic
}

func newNotices(b *Backend) *notices {
	n := &notices{b: b, name: b.namespace.Ends(), heard: make(chan struct{}, 1), wake: make(chan struct{}, 1)}
	n.hub = notice.New(n.publish, n.listen)
	return n
}

// close ends listening, and sends what is left to be sent, a short while at most.
func (n *notices) close() {
	ctx, cancel := context.WithTimeout(context.Background(), sendingTimeout)
	defer cancel()
	n.hub.Close(ctx)
}

// changed has the notices look whether they still hear.
func (n *notices) changed() {
	n.hub.Retry()
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// Watch implements [store.Watcher]. The first call makes the client listen to a topic,
// aside; see Notices of ends in the package comment.
func (b *Backend) Watch(session store.Store, hint func()) (stop func(), err error) {
	l, err := b.ours(session)
	switch {
	case err != nil:
		return nil, err
	case b.closed.Load():
		return nil, store.ErrClosed
	case l.ended.Load():
		hint()
		return func() {}, nil
	}
	l.watchers.Add(1)
	w := b.notices.hub.Watch(b.hintName(l.key), hint)
	return sync.OnceFunc(func() {
		w.Stop()
		l.watchers.Add(-1)
	}), nil
}

// hintName is the physical name of the session whose entry has key.
func (b *Backend) hintName(key string) string { return string(b.namespace) + ":" + key }

// tellAll publishes to other processes a write to the entry under key that ended a life
// or gave it another deadline, or may have.
func (b *Backend) tellAll(key string, err error) {
	if err == nil || errors.Is(err, store.ErrUnknownOutcome) {
		b.notices.hub.Tell(b.hintName(key))
	}
}

// lasts tells those who watch the life how long it goes on.
func (l *life) lasts(left time.Duration) {
	if l.watchers.Load() > 0 {
		l.backend.notices.hub.Lasts(l.backend.hintName(l.key), max(left, leastLeft))
	}
}

// left returns how long a session that was just read goes on, as far as is known here.
func (b *Backend) left(v document.View) time.Duration {
	until := v.Deadline()
	if v.Owner() != 0 {
		until = max(until, b.owners.until(v.Owner()))
	}
	earliest, _ := b.clock.now()
	return time.Duration(until-earliest) * time.Millisecond
}

// publish sends a message of the Hub, or another.
func (n *notices) publish(ctx context.Context, message []byte) error {
	return aside(ctx, func(ctx context.Context) error {
		t, err := n.current(ctx)
		if err != nil {
			return err
		}
		return t.Publish(ctx, message)
	})
}

// aside calls f, which uses the client, and returns when it does or when ctx ends.
func aside(ctx context.Context, f func(context.Context) error) error {
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// current returns the topic of the client that is used now.
func (n *notices) current(ctx context.Context) (*topic, error) {
	client := n.b.client.Load()
	if t := n.topic.Load(); t != nil && t.client == client {
		return t, nil
	}
	of, err := client.GetTopic(ctx, n.name)
	if err != nil {
		return nil, err
	}
	t := &topic{client, of}
	n.topic.Store(t)
	return t, nil
}

// listen listens until that ends, and returns how to go on; see [notice.New].
func (n *notices) listen(ctx context.Context, _ int) (worked bool, pause time.Duration) {
	worked, err := n.listener(ctx)
	if ctx.Err() != nil || err == errExchanged {
		return true, 0
	}
	n.report(err)
	return worked, listenPause
}

var (
	errExchanged = errors.New("the client was exchanged")
	errSilent    = errors.New("what this process publishes does not come back to it")
	errAway      = errors.New("the client has lost the cluster")
)

// report logs that listening has broken, once until it has lasted for long.
func (n *notices) report(err error) {
	if !n.broken.Swap(true) {
		n.b.logger.Warn("hazelcast: sessions that end elsewhere come to notice at the next renewal only, until the topic can be listened to again",
			"topic", n.name, "why", n.b.describe(n.name, err).Error())
	}
}

// listener listens until that ends, and returns whether there was an echo and why it ended.
func (n *notices) listener(ctx context.Context) (worked bool, err error) {
	var s *listening
	adding, cancel := context.WithTimeout(ctx, listenTimeout)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		var err error
		s, err = n.listenTo(adding)
		done <- err
	}()
	select {
	case err = <-done:
	case <-adding.Done():
		go func() {
			if <-done == nil { // too late
				s.stop()
			}
		}()
		err = adding.Err()
	}
	if err != nil {
		return false, err
	}
	stop := sync.OnceFunc(s.stop)
	defer func() {
		stopped := make(chan struct{})
		go func() {
			stop()
			close(stopped)
		}()
		select { // a client that is about to reconnect keeps its listeners locked
		case <-stopped:
		case <-time.After(sendingTimeout):
		}
	}()
	if err := n.echo(ctx); err != nil {
		return false, err
	}
	n.hub.HearAll()
	return true, n.attend(ctx, s)
}

// A listening is a listener of a client.
type listening struct {
	client    *hazelcast.Client
	topic     *topic
	listener  types.UUID
	lifecycle types.UUID
}

func (n *notices) listenTo(ctx context.Context) (*listening, error) {
	t, err := n.current(ctx)
	if err != nil {
		return nil, err
	}
	s := &listening{client: t.client, topic: t}
	if s.lifecycle, err = t.client.AddLifecycleListener(func(e hazelcast.LifecycleStateChanged) {
		switch e.State {
		case hazelcast.LifecycleStateDisconnected:
			n.lost.Store(true)
			n.changed()
		case hazelcast.LifecycleStateConnected, hazelcast.LifecycleStateChangedCluster:
			n.changed()
		}
	}); err != nil {
		return nil, err
	}
	if s.listener, err = t.AddMessageListener(ctx, n.hear); err != nil {
		_ = t.client.RemoveLifecycleListener(s.lifecycle)
		return nil, err
	}
	return s, nil
}

// stop ends listening. What a client says that is shut down or away does not matter.
func (s *listening) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), sendingTimeout)
	defer cancel()
	_ = s.client.RemoveLifecycleListener(s.lifecycle)
	if s.client.Running() {
		_ = s.topic.RemoveListener(ctx, s.listener)
	}
}

// hear takes in what comes.
func (n *notices) hear(m *hazelcast.MessagePublished) {
	select {
	case n.heard <- struct{}{}:
	default:
	}
	if message, ok := m.Value.([]byte); ok {
		n.hub.Hear(message)
	}
}

// ping hints at nobody.
var ping = []byte{0}

// echo publishes a message that hints at nobody, and waits for one.
func (n *notices) echo(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, listenTimeout)
	defer cancel()
	select {
	case <-n.heard:
	default:
	}
	if err := n.publish(ctx, ping); err != nil {
		return err
	}
	select {
	case <-n.heard:
		return nil
	case <-ctx.Done():
		return errSilent
	}
}

// attend looks after s until it does not hear any more, or ctx ends.
func (n *notices) attend(ctx context.Context, s *listening) error {
	quiet, settled := time.NewTicker(echoAfter), time.NewTimer(settledAfter)
	defer quiet.Stop()
	defer settled.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-settled.C:
			n.broken.Store(false)
			continue
		case <-n.heard:
			quiet.Reset(echoAfter)
			continue
		case <-quiet.C:
			if err := n.echo(ctx); err != nil {
				return err
			}
			continue
		case <-n.wake:
		}
		if n.lost.Swap(false) {
			settled.Reset(settledAfter)
			n.report(errAway)
		}
		if n.b.client.Load() != s.client {
			return errExchanged
		}
		if err := n.echo(ctx); err != nil {
			return err
		}
		n.hub.HearAll()
	}
}
