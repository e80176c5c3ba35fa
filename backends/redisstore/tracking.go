package redisstore

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/redis/go-redis/v9/push"
	"github.com/sessionkv/store/backends/internal/panics"
)

// A tracking is the connection on which the server says what has changed.
//
//  1. It is one connection beside the client's pool, made with the client's options at the first
//     read. CLIENT TRACKING with BCAST makes the server send the names of all that changes
//     in the namespace, whoever has read it. So the reads themselves may take any
//     connection, and the server remembers nothing about them.
//  2. The cache keeps what was asked for after the server had answered a PING there.
//  3. When the connection breaks, when the server does not answer a PING for about the cache's staleness, when
//     the backend learns that the server is a replica now, or when the connection has become
//     old, everything is dropped, and it is made again.
type tracking struct {
	b      *Backend
	epochs atomic.Uint64
	broken atomic.Bool // and that was logged

	mu     sync.Mutex
	stop   context.CancelFunc // nil: not started
	ended  chan struct{}      // closed when nothing runs any more
	closed bool
	again  context.CancelFunc // of the present connection
}

// beat is how often the server is asked whether the connection goes on.
const beat = time.Second

var (
	errReset  = errors.New("the server is another one now, or has become a replica")
	errSecond = errors.New("the client has made a second connection in place of the first")
)

// start makes the connection, aside, if nobody has before.
func (t *tracking) start() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stop != nil || t.closed {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.stop, t.ended = cancel, make(chan struct{})
	go t.run(ctx)
}

// close ends the connection, and waits for that until ctx ends.
func (t *tracking) close(ctx context.Context) {
	t.mu.Lock()
	t.closed = true
	stop, ended := t.stop, t.ended
	t.mu.Unlock()
	if stop == nil {
		return
	}
	stop()
	select {
	case <-ended:
	case <-ctx.Done():
	}
}

// reset drops what is kept, and makes the connection again.
func (t *tracking) reset() {
	t.off()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.again != nil {
		t.again()
	}
}

// off keeps the cache from being used.
func (t *tracking) off() {
	t.b.cache.epoch.Store(0)
	t.b.cache.clear()
}

// run makes the connection again and again, ever later while that fails.
func (t *tracking) run(ctx context.Context) {
	defer close(t.ended)
	for failures := 0; ; {
		lasted, err := t.connect(ctx)
		t.off()
		if ctx.Err() != nil {
			return
		}
		if lasted >= settledAfter {
			t.broken.Store(false)
		}
		if lasted > 0 {
			failures = 0
		}
		wait := min(listenPause<<failures, pingAfter)
		switch {
		case err == errAged, err == errReset:
			wait = listenPause
		case t.b.refusesForGood(err):
			wait = refusedPause
			fallthrough
		default:
			failures = min(failures+1, 16)
			t.report(err)
		}
		timer := time.NewTimer(wait/2 + rand.N(wait/2))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// refusesForGood reports whether the server has refused so that it will do so again.
func (b *Backend) refusesForGood(err error) bool {
	reply, ok := replyError(err)
	return ok && reply != redis.Nil && !b.passing(err)
}

// report logs that nothing is kept, once until a connection has lasted.
func (t *tracking) report(err error) {
	if t.broken.Swap(true) {
		return
	}
	if t.b.refusesForGood(err) {
		t.b.logger.Warn("redis: the cache is off, because the server refuses what it needs", "why", describe(err, t.b.password), "rights", "+hello +client|tracking")
		return
	}
	t.b.logger.Warn("redis: the cache is off until the server can be connected to for its notices again", "why", describe(err, t.b.password))
}

// connect makes the connection, and hears what the server says there until that ends. It
// returns how long it was of use.
func (t *tracking) connect(ctx context.Context) (lasted time.Duration, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	t.mu.Lock()
	t.again = cancel
	t.mu.Unlock()

	client, err := t.client()
	if err != nil {
		return 0, err
	}
	defer client.Close()
	// Without channels it does not connect yet. It is not a subscription, but what go-redis has for
	// connections on which the server speaks first.
	s := client.Subscribe(ctx)
	connecting, stop := context.WithTimeout(ctx, subscribeTimeout)
	err = await(connecting, func() error { return s.Ping(connecting) })
	stop()
	defer func() { go s.Close() }() // it waits for what still connects or is written
	if err != nil {
		return 0, err
	}
	answers := make(chan struct{}, 1)
	ended := make(chan error, 1)
	go func() { ended <- t.hear(s, answers) }()

	patience := min(max(beat, time.Duration(t.b.cache.staleness)), pingAfter)
	beats := time.NewTicker(beat)
	defer beats.Stop()
	age := time.NewTimer(subscriptionAge - rand.N(subscriptionAge/10))
	defer age.Stop()
	var on time.Time                   // since when it is of use
	waiting, asked := true, time.Now() // for an answer to PING
	for {
		select {
		case <-ctx.Done():
			err = errReset
		case <-age.C:
			err = errAged
		case err = <-ended:
		case <-answers:
			waiting = false
			if on.IsZero() {
				on = time.Now()
				t.b.cache.epoch.Store(t.epochs.Add(1))
			}
		case <-beats.C:
			if !waiting {
				waiting, asked = true, time.Now()
				err = await(ctx, func() error { return s.Ping(ctx) })
			} else if time.Since(asked) > patience {
				err = errSilent
			}
		}
		if err != nil {
			t.off()
			if !on.IsZero() {
				lasted = time.Since(on)
			}
			return lasted, err
		}
	}
}

// hear takes in what comes, and passes on answers to PING, until the connection ends.
func (t *tracking) hear(s *redis.PubSub, answers chan<- struct{}) error {
	for {
		// Without a deadline: one that passes in the middle of a notice would lose it.
		var m any
		err := panics.Guard(func() (err error) { m, err = s.ReceiveTimeout(context.Background(), 0); return err })
		if _, refused := replyError(err); err != nil && !refused {
			return err
		}
		if m, ok := m.(*redis.Pong); err == nil && (!ok || m.Payload != "PONG") {
			return errReply
		}
		select {
		case answers <- struct{}{}: // a refusal of PING is an answer as well
		default:
		}
	}
}

// client returns a client that makes one connection, on which the server says what
// changes.
func (t *tracking) client() (*redis.Client, error) {
	o := *t.b.client.(*redis.Client).Options()
	o.Protocol = 3
	o.ClientSideCache, o.ClientSideCacheConfig = nil, nil
	o.PushNotificationProcessor = redis.NewPushNotificationProcessor()
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	o.PoolSize, o.MinIdleConns, o.PipelinePoolSize, o.MaxRetries = 1, 0, -1, -1
	onConnect, prefix := o.OnConnect, string(t.b.namespace)+":"
	var used atomic.Bool
	o.OnConnect = func(ctx context.Context, conn *redis.Conn) error {
		if used.Swap(true) { // what changed in between was not heard of
			return errSecond
		}
		if onConnect != nil {
			if err := onConnect(ctx, conn); err != nil {
				return err
			}
		}
		// On a connection that is left with RESP2 the server would agree to tracking, and tell nothing.
		if answer, err := askHello(ctx, conn, 3); err != nil {
			return err
		} else if answer["proto"] != any(int64(3)) {
			return errReply
		}
		if err := refuseReplica(ctx, conn, 3); err != nil {
			return err
		}
		return conn.Process(ctx, redis.NewStatusCmd(ctx, "client", "tracking", "on", "bcast", "prefix", prefix))
	}
	client := redis.NewClient(&o)
	return client, client.RegisterPushNotificationHandler("invalidate", notified{t.b.cache}, true)
}

// A notified takes in notices of the server.
type notified struct{ c *cache }

// HandlePushNotification implements [push.NotificationHandler].
func (n notified) HandlePushNotification(_ context.Context, _ push.NotificationHandlerContext, notice []any) error {
	var names []any
	if len(notice) > 1 {
		names, _ = notice[1].([]any)
	}
	if names == nil { // everything was deleted
		n.c.clear()
		return nil
	}
	for _, name := range names {
		if name, ok := name.(string); ok {
			n.c.changed(name)
		}
	}
	return nil
}
