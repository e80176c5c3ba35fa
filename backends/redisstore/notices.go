package redisstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/internal/panics"
	"github.com/sessionkv/store/internal/notice"
)

var _ store.Watcher = (*Backend)(nil)

const (
	// listenPause is between the first two attempts to subscribe.
	listenPause = 50 * time.Millisecond

	// refusedPause is how long nothing is tried again that the server has refused. The user has no
	// right to it, or the server does not have it. Rights change.
	refusedPause = time.Minute

	// subscribeTimeout bounds the wait for the server to confirm a subscription.
	subscribeTimeout = 5 * time.Second

	// pingAfter is how long nothing was heard when the server is asked whether it is
	// there. It has as long to answer.
	pingAfter = 15 * time.Second

	// A subscription becomes no older than subscriptionAge, and up to a tenth less: the
	// server behind the name may be another one now.
	subscriptionAge = 10 * time.Minute

	// quietMoves is how often in a row a cluster may send the subscriber elsewhere before
	// that is called a break.
	quietMoves = 5

	// settledAfter is how long a subscription lasts when its break is worth another line
	// in the log.
	settledAfter = time.Minute
)

// notices brings hints to other processes and takes theirs in, by publish and
// subscribe on one channel of the namespace.
//
//  1. What is published are hints, collected by a notice.Hub. Publishing comes after
//     the write, aside, through the client's pool: it neither delays nor fails anything.
//  2. The first Watch subscribes, which takes one connection beside the pool. A
//     Cluster with sharded channels has it on the node of the channel's slot, where
//     the messages stay; one without passes them to every node.
//  3. A subscription that breaks is made again, ever later while that fails. Each one
//     that the server has confirmed makes the Hub hint at everybody once.
//  4. A refusal is logged once, and a break once until a subscription has lasted.
//     Meanwhile the rounds of renewals find out alone.
type notices struct {
	b       *Backend
	hub     *notice.Hub
	channel string
	cluster bool

	plain    holding // the cluster has no sharded channels
	muted    holding // PUBLISH is refused
	timeless holding // PTTL is refused

	refused atomic.Bool // and that was logged
	broken  atomic.Bool // the subscription, and that was logged
}

// A holding is something found out that holds for refusedPause.
type holding struct{ until atomic.Int64 }

func (h *holding) holds() bool { return int64(time.Since(began)) < h.until.Load() }
func (h *holding) set()        { h.until.Store(int64(time.Since(began) + refusedPause)) }

func newNotices(b *Backend) *notices {
	_, cluster := b.client.(*redis.ClusterClient)
	n := &notices{b: b, channel: b.namespace.Ends(), cluster: cluster}
	n.hub = notice.New(n.publish, n.listen)
	return n
}

// Watch implements [store.Watcher]. The first call subscribes to a channel of the
// server, aside; see Notices of ends in the package comment.
func (b *Backend) Watch(session store.Store, hint func()) (stop func(), err error) {
	s := b.ours(session)
	switch {
	case s == nil:
		return nil, errForeign
	case b.closed.Load():
		return nil, store.ErrClosed
	case s.over() != nil:
		hint()
		return func() {}, nil
	}
	s.watchers.Add(1)
	w := b.notices.hub.Watch(s.name.(string), hint)
	return sync.OnceFunc(func() {
		w.Stop()
		s.watchers.Add(-1)
	}), nil
}

// tell publishes to other processes a write to s that ended a life or gave it another
// deadline, or may have.
func (s *handle) tell(err error) {
	if err == nil || errors.Is(err, store.ErrUnknownOutcome) {
		s.b.notices.hub.Tell(s.name.(string))
	}
}

// lasts tells those who watch through s how long the session lives.
func (s *handle) lasts(left time.Duration) {
	if s.watchers.Load() > 0 {
		s.b.notices.hub.Lasts(s.name.(string), left)
	}
}

// leftOf returns a command that asks how long the session of s lives, and nil where
// no process listens, or this one may not publish.
func (s *handle) leftOf(ctx context.Context) *redis.DurationCmd {
	if s.watchers.Load() == 0 || s.b.notices.timeless.holds() {
		return nil
	}
	cmd := redis.NewDurationCmd(ctx, time.Millisecond, "pttl", s.name)
	cmd.SetFirstKeyPos(1)
	return cmd
}

// tookIn takes in the answer to a command of leftOf.
func (s *handle) tookIn(cmd *redis.DurationCmd) {
	if cmd == nil {
		return
	}
	if err := cmd.Err(); err != nil {
		if n := s.b.notices; n.refuses(err) {
			n.timeless.set()
			n.report(&n.refused, err)
		}
		return
	}
	if left := cmd.Val(); left > 0 {
		s.lasts(left)
	}
}

// publish sends a message of the Hub, if need be several times while ctx lasts. When a node of a
// cluster has failed, the client looks for another.
func (n *notices) publish(ctx context.Context, message []byte) error {
	for attempt := 1; ; attempt++ {
		if n.muted.holds() {
			return errMuted
		}
		err := n.publishOnce(ctx, message, n.cluster && !n.plain.holds())
		switch {
		case err == nil:
			return nil
		case n.refuses(err):
			n.muted.set()
			n.report(&n.refused, err)
			return err
		case n.b.closed.Load() || errors.Is(err, redis.ErrClosed):
			return err
		}
		n.b.lookAround()
		if pause(ctx, min(attempt, 5)) != nil {
			return err
		}
	}
}

// publishing is a command that the client does not repeat.
type publishing struct{ *redis.IntCmd }

// NoRetry implements [redis.Cmder].
func (publishing) NoRetry() bool { return true }

// Clone implements [redis.Cmder].
func (p publishing) Clone() redis.Cmder { return publishing{p.IntCmd.Clone().(*redis.IntCmd)} }

var errMuted = errors.New("the server refuses PUBLISH")

func (n *notices) publishOnce(ctx context.Context, message []byte, sharded bool) error {
	name := "publish"
	if sharded {
		name = "spublish"
	}
	err := await(ctx, func() error {
		// On the node itself: a cluster's client would try one that is gone for long.
		node, err := nodeOf(ctx, n.b.client, n.b.nodes, n.channel)
		if err != nil {
			return err
		}
		return node.Process(ctx, publishing{redis.NewIntCmd(ctx, name, n.channel, message)})
	})
	if sharded && unknown(err) {
		n.plain.set()
		return n.publishOnce(ctx, message, false)
	}
	return err
}

// unknown reports whether the server does not have a command.
func unknown(err error) bool {
	reply, ok := replyError(err)
	return ok && unknownCommand.MatchString(essence(reply.Error()))
}

// refuses reports whether err is a server's refusal that it will repeat.
func (n *notices) refuses(err error) bool {
	reply, ok := replyError(err)
	return ok && reply != redis.Nil && !n.b.passing(err) && (refusedWith(err, "NOPERM") || unknown(err))
}

// report logs that notices are missing, once while logged is set.
func (n *notices) report(logged *atomic.Bool, err error) {
	if logged.Swap(true) {
		return
	}
	if n.refuses(err) {
		n.b.logger.Warn("redis: sessions that end elsewhere come to notice at the next renewal only, because the server refuses what notices need",
			"why", describe(err), "rights", n.rights())
		return
	}
	n.b.logger.Warn("redis: sessions that end elsewhere come to notice at the next renewal only, until the server can be subscribed to again", "why", describe(err))
}

// rights is what the rule of an ACL user needs for notices.
func (n *notices) rights() string {
	if n.cluster {
		return fmt.Sprintf("&%s:* +ssubscribe +spublish +ping +pttl", n.b.namespace)
	}
	return fmt.Sprintf("&%s:* +subscribe +publish +ping +pttl", n.b.namespace)
}

// listen subscribes until that ends, and returns how to go on; see [notice.New].
func (n *notices) listen(ctx context.Context, failures int) (worked bool, pause time.Duration) {
	lasted, err := n.subscription(ctx, n.hub.HearAll)
	if lasted >= settledAfter {
		n.broken.Store(false)
	}
	worked = lasted >= time.Second
	switch {
	case ctx.Err() != nil, err == errAged:
		return worked, 0
	case n.refuses(err):
		if !n.broken.Load() {
			n.report(&n.refused, err)
		}
		return worked, refusedPause
	case moved(err) && (worked || failures < quietMoves):
		n.b.lookAround()
	case lasted == 0 && n.refused.Load():
	default:
		n.report(&n.broken, err)
		n.b.lookAround()
	}
	return worked, listenPause
}

var (
	errAged     = errors.New("the subscription has become old")
	errMoved    = errors.New("another node of the cluster serves the channel now")
	errSilent   = errors.New("the server does not answer on the subscribed connection")
	errUnwanted = errors.New("the server has answered something else than what was subscribed to")
)

// moved reports whether another node of a cluster serves the channel.
func moved(err error) bool {
	_, moved := redis.IsMovedError(err)
	return moved || err == errMoved
}

// subscription subscribes and passes on what it hears, until that ends. It returns how
// long the subscription lasted, and why it ended. Confirmed is called when the server
// has confirmed it.
func (n *notices) subscription(ctx context.Context, confirmed func()) (lasted time.Duration, err error) {
	sharded := n.cluster && !n.plain.holds()
	lasted, err = n.subscribe(ctx, sharded, confirmed)
	if sharded && lasted == 0 && unknown(err) {
		n.plain.set()
		lasted, err = n.subscribe(ctx, false, confirmed)
	}
	return lasted, err
}

// subscribe is subscription in one of its two ways.
func (n *notices) subscribe(ctx context.Context, sharded bool, confirmed func()) (lasted time.Duration, err error) {
	var s *redis.PubSub
	kind := "subscribe"
	// Without channels they do not connect yet.
	if sharded {
		kind, s = "ssubscribe", n.b.client.SSubscribe(ctx)
	} else {
		s = n.b.client.Subscribe(ctx)
	}
	connect := func() error {
		if sharded {
			return s.SSubscribe(ctx, n.channel)
		}
		return s.Subscribe(ctx, n.channel)
	}
	connecting, cancel := context.WithTimeout(ctx, subscribeTimeout)
	err = await(connecting, connect)
	cancel()
	if err == panics.Err {
		return 0, err // s hangs; its connection goes with it
	}
	// It waits for what still connects, and what it is closed by waits for nobody.
	defer func() { go s.Close() }()
	if err != nil {
		return 0, err
	}
	defer context.AfterFunc(ctx, func() { s.Close() })()

	first, err := n.receive(ctx, s, subscribeTimeout)
	if err != nil {
		return 0, err
	}
	if answer, ok := first.(*redis.Subscription); !ok || answer.Kind != kind || answer.Channel != n.channel {
		return 0, errUnwanted
	}
	since := time.Now()
	confirmed()
	err = n.hear(ctx, s, subscriptionAge-rand.N(subscriptionAge/10))
	return max(time.Since(since), 1), err
}

// hear passes on what comes, until the subscription ends or is old.
func (n *notices) hear(ctx context.Context, s *redis.PubSub, age time.Duration) error {
	over := time.Now().Add(age)
	for asked := false; ; {
		m, err := n.receive(ctx, s, pingAfter)
		if time.Now().After(over) {
			return errAged
		}
		switch m := m.(type) {
		case *redis.Message:
			if m.Channel == n.channel {
				n.hub.Hear([]byte(m.Payload))
			}
		case *redis.Subscription:
			return errMoved // or the server was told to end it
		case nil:
			var late net.Error
			_, refused := replyError(err)
			switch {
			case refused: // PING, which is an answer as well
			case !errors.As(err, &late) || !late.Timeout():
				return err
			case asked:
				return errSilent
			default:
				if err := await(ctx, func() error { return s.Ping(ctx) }); err != nil {
					return err
				}
				asked = true
				continue
			}
		}
		asked = false
	}
}

// receive waits for what comes next.
func (n *notices) receive(ctx context.Context, s *redis.PubSub, wait time.Duration) (m any, err error) {
	err = panics.Guard(func() (err error) { m, err = s.ReceiveTimeout(ctx, wait); return err })
	return m, err
}

// check finds out whether the server refuses what notices need, and logs it then.
func (n *notices) check(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, subscribeTimeout)
	defer cancel()
	if err := n.publishOnce(ctx, nil, n.cluster); n.refuses(err) {
		n.muted.set()
		n.report(&n.refused, err)
	}
	left := redis.NewDurationCmd(ctx, time.Millisecond, "pttl", n.b.namespace.Session(store.NewID()))
	left.SetFirstKeyPos(1)
	if err := await(ctx, func() error { return n.b.client.Process(ctx, left) }); n.refuses(err) {
		n.timeless.set()
		n.report(&n.refused, err)
	}
	if n.refused.Load() {
		return
	}
	listening, stop := context.WithCancel(ctx)
	defer stop()
	confirmed := func() { stop() }
	if _, err := n.subscription(listening, confirmed); n.refuses(err) {
		n.report(&n.refused, err)
	}
}
