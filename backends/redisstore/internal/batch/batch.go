package batch

import (
	"cmp"
	"context"
	"sync"

	"github.com/redis/go-redis/v9"
)

// Options tunes a [Batcher]. The zero value is ready to use.
type Options struct {
	// MaxInFlight bounds the pipelines that are in progress to one server at the same time, and so
	// the connections taken from the client's pool. Zero means the size of the pool that the client
	// keeps for pipelines: 10, unless its PipelinePoolSize says otherwise. If three quarters of its
	// PoolSize are less, zero means those, so that others find connections, too.
	MaxInFlight int

	// MaxBatch bounds the commands in one pipeline. Zero means 512.
	MaxBatch int

	// MaxBytes bounds the bytes of arguments in one pipeline, so that small commands do not wait
	// behind large values. A command that alone exceeds it is sent alone. Zero means 64 KiB.
	MaxBytes int

	// MaxReplyBytes bounds the bytes of replies that are expected for one
	// pipeline. Zero means 512 KiB.
	MaxReplyBytes int

	// MaxQueue and MaxQueueBytes bound what waits for one server, in commands and
	// in bytes of their arguments. More is refused with [ErrQueueFull]. Zero means
	// 65536 and 256 MiB.
	MaxQueue      int
	MaxQueueBytes int

	// Nodes finds the nodes of a cluster. Nil means that the Batcher makes its own.
	Nodes *Nodes

	// Replies, if not nil, foretells the sizes of replies.
	Replies Foreteller

	// Merger, if not nil, executes several commands of a pipeline as one. Not
	// for a cluster, where a command has keys of one node only.
	Merger Merger
}

// A Merger makes one command of several. Its methods are called by several
// goroutines.
type Merger interface {
	// Fits reports whether cmd can be merged.
	Fits(cmd redis.Cmder) bool
	// Alike reports whether one command can do what both do, which fit.
	Alike(a, b redis.Cmder) bool
	// Ready reports whether to merge at present, at once.
	Ready() bool
	// Merge returns a command that does what cmds do.
	Merge(cmds []redis.Cmder) redis.Cmder
	// Split sets the outcomes of cmds from that of merged. It returns the places of those that
	// merged has not executed and that have to be sent individually. It leaves these without an
	// outcome.
	Split(merged redis.Cmder, cmds []redis.Cmder) (rest []int)
	// Learn looks at the outcomes of commands that Split returned although the
	// server had executed merged, after they were sent individually.
	Learn(cmds []redis.Cmder)
}

func (o Options) withDefaults(pool, pipelinePool int) Options {
	if o.MaxInFlight <= 0 {
		o.MaxInFlight = max(1, pool*3/4)
		if pipelinePool == 0 {
			pipelinePool = redis.DefaultPipelinePoolSize
		}
		if pipelinePool > 0 { // negative: pipelines use the one pool
			o.MaxInFlight = min(o.MaxInFlight, pipelinePool)
		}
	}
	if o.MaxBatch <= 0 {
		o.MaxBatch = 512
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = 64 << 10
	}
	if o.MaxReplyBytes <= 0 {
		o.MaxReplyBytes = 512 << 10
	}
	if o.MaxQueue <= 0 {
		o.MaxQueue = 1 << 16
	}
	if o.MaxQueueBytes <= 0 {
		o.MaxQueueBytes = 256 << 20
	}
	return o
}

// Batcher merges the commands of concurrent goroutines into pipelines over a
// live client. All methods are safe for concurrent use.
type Batcher struct {
	client    redis.UniversalClient
	cluster   *redis.ClusterClient // client, if it is one
	nodes     *Nodes               // of cluster
	opts      Options
	deadlines bool // the client keeps to the deadlines of contexts
	bounded   bool // the client gives up a server that does not answer

	// only is the single lane of a client that is not a cluster. A pipeline over several nodes is
	// as slow as the slowest of them. So every node of a cluster has a lane of its own, by address.
	only  *lane
	lanes sync.Map // string to *lane

	mu     sync.Mutex // orders the making of lanes and Close
	closed bool
}

// New returns a Batcher over client, which the caller keeps, and closes after
// the Batcher. It merges commands for [*redis.Client] (plain or Sentinel) and
// [*redis.ClusterClient]; any other client gets every command individually.
func New(client redis.UniversalClient, opts Options) *Batcher {
	b := &Batcher{client: client}
	switch c := client.(type) {
	case *redis.Client:
		o := c.Options()
		b.opts = opts.withDefaults(o.PoolSize, o.PipelinePoolSize)
		b.deadlines = o.ContextTimeoutEnabled
		b.bounded = o.ReadTimeout > 0 && o.WriteTimeout > 0
		b.only = newLane(b, c)
	case *redis.ClusterClient:
		o := c.Options()
		b.opts = opts.withDefaults(o.PoolSize, o.PipelinePoolSize)
		b.deadlines = o.ContextTimeoutEnabled
		b.bounded = o.ReadTimeout > 0 && o.WriteTimeout > 0
		b.cluster, b.nodes = c, cmp.Or(opts.Nodes, NewNodes(c))
	default:
		b.only = newLane(b, nil)
	}
	return b
}

// Process executes cmd, alone or in a pipeline with the commands of other
// goroutines, and returns its error, like [redis.Client.Process]. The result
// is in cmd.
//
// A command in a pipeline is sent at most once. A lone one whose NoRetry method
// does not report true may be sent again by the client after a network error. A
// cluster's redirections are followed, for each command individually. The error is
// nil only if the command's own reply was read.
//
// When ctx ends while the command is queued or in a pipeline, Process returns at once with an error
// that wraps the cause of ctx. If [Unknown] reports true for it, the command may already be on its
// way, and its outcome is not known. cmd and the memory its arguments refer to are then still in
// use. They must not be written to, and cmd not be read, ever again. Otherwise the command was not
// and will not be sent.
//
// A caller that finds nothing in progress runs its command itself, on its own goroutine. It notices
// a cancellation only after the reply or the timeouts of the client, as with the client itself. Its
// deadline is kept. That is cheapest when the client itself keeps to deadlines
// (ContextTimeoutEnabled in its options); otherwise it costs a lone caller a goroutine switch.
func (b *Batcher) Process(ctx context.Context, cmd redis.Cmder) error {
	if err := ctx.Err(); err != nil {
		return notSent(context.Cause(ctx))
	}
	l := b.only
	if l == nil {
		var err error
		if l, err = b.laneFor(ctx, cmd); err != nil {
			return err
		}
	}
	return l.process(ctx, cmd)
}

// returnsInTime reports whether single keeps to the deadline of ctx, and ends after
// a while if ctx is only cancelled.
func (b *Batcher) returnsInTime(ctx context.Context) bool {
	if ctx.Done() == nil {
		return true
	}
	if _, ok := ctx.Deadline(); ok {
		return b.deadlines
	}
	return b.bounded
}

// Close refuses new commands, and waits until those accepted before have
// their outcome or ctx ends, whose error it then returns. Batches in progress
// are not cut off: they end at the latest with the client's own timeouts.
func (b *Batcher) Close(ctx context.Context) error {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	for l := range b.all {
		l.close()
	}
	for l := range b.all {
		select {
		case <-l.idle:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// all yields every lane.
func (b *Batcher) all(yield func(*lane) bool) {
	if b.only != nil {
		yield(b.only)
		return
	}
	b.lanes.Range(func(_, l any) bool { return yield(l.(*lane)) })
}
