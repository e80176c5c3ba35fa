package otelstore

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	semconv "go.opentelemetry.io/otel/semconv/v1.40.0"
	"go.opentelemetry.io/otel/trace"
)

// An operation is a method of a backend.
type operation uint8

const (
	opGet operation = iota
	opSet
	opHas
	opDelete
	opDestroy
	opGetMany
	opCommit
	opKeys
	opDestroyIf
	opCreate
	opAttach
	opResume
	opRenew
	opSuspend
	opPutEntries
	opRemoveEntries
	opEntries
	opRenewIf
	opSuspendIf
	opTimeLeft
	opScan
	operations
)

var operationNames = [operations]string{
	"get", "set", "has", "delete", "destroy", "get_many", "commit", "keys", "destroy_if", "create", "attach", "resume", "renew", "suspend",
	"put_entries", "remove_entries", "entries", "renew_if", "suspend_if", "time_left", "scan",
}

// buckets are those of the semantic conventions, in seconds.
var buckets = []float64{0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10}

// An observer records the operations of one backend.
type observer struct {
	duration   metric.Float64Histogram
	tracer     trace.Tracer
	kind       trace.SpanKind
	namespace  string
	attributes []attribute.KeyValue // of every operation

	// recorded are the attributes of each operation with each outcome, made when the first ends so.
	recorded [operations][len(outcomes)]atomic.Pointer[[]metric.RecordOption]
}

func newObserver(namespace string, opts Options) *observer {
	o := &observer{
		tracer:     opts.TracerProvider.Tracer(scope),
		kind:       trace.SpanKindClient,
		namespace:  namespace,
		attributes: []attribute.KeyValue{semconv.DBSystemNameKey.String(opts.System)},
	}
	if opts.System == "memory" {
		o.kind = trace.SpanKindInternal
	}
	if namespace != "" {
		o.attributes = append(o.attributes, semconv.DBNamespace(namespace))
	}
	var err error
	o.duration, err = opts.MeterProvider.Meter(scope).Float64Histogram("db.client.operation.duration",
		metric.WithUnit("s"), metric.WithDescription("Duration of operations of the session store."),
		metric.WithExplicitBucketBoundaries(buckets...))
	if err != nil {
		otel.Handle(err)
		if o.duration == nil {
			o.duration = noop.Float64Histogram{}
		}
	}
	return o
}

// records reports whether anything records an operation with ctx. It is all that an operation costs when
// nothing does.
func (o *observer) records(ctx context.Context) bool {
	return o.duration.Enabled(ctx) || trace.SpanFromContext(ctx).IsRecording()
}

// A call is an operation that has begun.
type call struct {
	observer *observer
	op       operation
	start    time.Time
	ctx      context.Context
	span     trace.Span // nil without one
}

// begin begins an operation on size sessions or keys; zero is for one that is not on many. The operation is
// to be called with the call's ctx.
func (o *observer) begin(ctx context.Context, op operation, size int) call {
	c := call{observer: o, op: op, ctx: ctx}
	if trace.SpanFromContext(ctx).IsRecording() {
		attributes := append(slices.Clip(o.attributes), semconv.DBOperationName(operationNames[op]))
		if size > 1 {
			attributes = append(attributes, semconv.DBOperationBatchSize(size))
		}
		name := operationNames[op]
		if o.namespace != "" {
			name += " " + o.namespace
		}
		c.ctx, c.span = o.tracer.Start(ctx, name, trace.WithSpanKind(o.kind), trace.WithAttributes(attributes...))
	}
	c.start = time.Now()
	return c
}

// end records how the operation ended.
func (c *call) end(how outcome) {
	took := time.Since(c.start).Seconds()
	c.observer.duration.Record(c.ctx, took, c.observer.options(c.op, how)...)
	if c.span == nil {
		return
	}
	if a, ok := how.attribute(); ok {
		c.span.SetAttributes(a)
		if outcomes[how].failed {
			c.span.SetStatus(codes.Error, outcomes[how].name) // not the error, whose text is somebody else's
		}
	}
	c.span.End()
}

// options returns the attributes of an operation that ended so.
func (o *observer) options(op operation, how outcome) []metric.RecordOption {
	cell := &o.recorded[op][how]
	if made := cell.Load(); made != nil {
		return *made
	}
	attributes := append(slices.Clip(o.attributes), semconv.DBOperationName(operationNames[op]))
	if a, ok := how.attribute(); ok {
		attributes = append(attributes, a)
	}
	made := []metric.RecordOption{metric.WithAttributeSet(attribute.NewSet(attributes...))}
	cell.Store(&made)
	return made
}

// observe does an operation that returns an error alone.
func (o *observer) observe(ctx context.Context, op operation, do func(context.Context) error) error {
	if !o.records(ctx) {
		return do(ctx)
	}
	c := o.begin(ctx, op, 0)
	err := do(c.ctx)
	c.end(outcomeOf(err))
	return err
}

// observeMany does an operation on many that returns an error for each.
func (o *observer) observeMany(ctx context.Context, op operation, size int, do func(context.Context) []error) []error {
	if !o.records(ctx) {
		return do(ctx)
	}
	c := o.begin(ctx, op, size)
	errs := do(c.ctx)
	c.end(worst(errs))
	return errs
}
