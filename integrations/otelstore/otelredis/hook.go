package otelredis

import (
	"context"
	"errors"
	"reflect"

	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.40.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/sessionkv/store/backends/redisstore"
	"github.com/sessionkv/store/integrations/otelstore"
)

// scope names the instrumentation.
const scope = "github.com/sessionkv/store/integrations/otelstore/otelredis"

// buckets are in operations.
var buckets = []float64{2, 4, 8, 16, 32, 64, 128, 256, 512}

// Instrument adds a hook to client that records pipelines; see the package comment. Call it once for each client, before that
// is used. Options.System is "redis" unless it says otherwise. A nil opts means defaults.
func Instrument(client redis.UniversalClient, opts *otelstore.Options) error {
	if v := reflect.ValueOf(client); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		return errors.New("otelredis: the client is nil; pass the one that redisstore.New gets")
	}
	var o otelstore.Options
	if opts != nil {
		o = *opts
	}
	if o.System == "" {
		o.System = "redis"
	}
	if o.MeterProvider == nil {
		o.MeterProvider = otel.GetMeterProvider()
	}
	if o.TracerProvider == nil {
		o.TracerProvider = otel.GetTracerProvider()
	}
	size, err := o.MeterProvider.Meter(scope).Int64Histogram("store.batch.size",
		metric.WithUnit("{operation}"), metric.WithDescription("Operations of sessions that share a pipeline."),
		metric.WithExplicitBucketBoundaries(buckets...))
	if err != nil {
		return err
	}
	system := semconv.DBSystemNameKey.String(o.System)
	h := &hook{size: size, tracer: o.TracerProvider.Tracer(scope), system: system, of: metric.WithAttributeSet(attribute.NewSet(system))}
	if cluster, ok := client.(*redis.ClusterClient); ok {
		cluster.OnNewNode(func(node *redis.Client) { node.AddHook(h) }) // batches go to nodes
		return nil
	}
	client.AddHook(h)
	return nil
}

// A hook records the pipelines of one client.
type hook struct {
	size   metric.Int64Histogram
	tracer trace.Tracer
	system attribute.KeyValue
	of     metric.MeasurementOption
}

func (h *hook) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (h *hook) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (h *hook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		n, callers := callersOf(cmds)
		if n == 0 {
			return next(ctx, cmds)
		}
		if len(callers) == 0 {
			h.size.Record(ctx, int64(n), h.of)
			return next(ctx, cmds)
		}
		ctx, span := h.start(ctx, n, callers)
		defer span.End()
		h.size.Record(ctx, int64(n), h.of)
		err := next(ctx, cmds)
		if reply := redis.Error(nil); err != nil && !errors.As(err, &reply) { // the first command's own error is its caller's
			span.SetAttributes(semconv.ErrorType(err))
			span.SetStatus(codes.Error, "") // not the error, whose text is somebody else's
		}
		return err
	}
}

// callersOf returns how many operations cmds execute, and the recorded spans of these, each once.
func callersOf(cmds []redis.Cmder) (n int, spans []trace.Span) {
	type identity struct {
		trace trace.TraceID
		span  trace.SpanID
	}
	var seen map[identity]bool
	for _, cmd := range cmds {
		for ctx := range redisstore.Callers(cmd) {
			n++
			span := trace.SpanFromContext(ctx)
			if !span.IsRecording() {
				continue
			}
			sc := span.SpanContext()
			id := identity{sc.TraceID(), sc.SpanID()}
			if seen[id] {
				continue
			}
			if seen == nil {
				seen = make(map[identity]bool)
			}
			seen[id] = true
			spans = append(spans, span)
		}
	}
	return n, spans
}

// start begins the span of a pipeline of n operations, as the child of the first of the callers' spans.
func (h *hook) start(ctx context.Context, n int, callers []trace.Span) (context.Context, trace.Span) {
	links := make([]trace.Link, 0, len(callers)-1)
	for _, other := range callers[1:] {
		links = append(links, trace.Link{SpanContext: other.SpanContext()})
	}
	ctx, span := h.tracer.Start(trace.ContextWithSpan(ctx, callers[0]), "pipeline", trace.WithSpanKind(trace.SpanKindClient), trace.WithLinks(links...),
		trace.WithAttributes(h.system, semconv.DBOperationName("PIPELINE"), semconv.DBOperationBatchSize(n)))
	if link := (trace.Link{SpanContext: span.SpanContext()}); span.IsRecording() {
		for _, other := range callers[1:] {
			other.AddLink(link)
		}
	}
	return ctx, span
}
