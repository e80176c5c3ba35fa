package otelredis_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/redisstore"
	"github.com/sessionkv/store/integrations/otelstore"
	"github.com/sessionkv/store/integrations/otelstore/otelredis"
	"github.com/sessionkv/store/internal/testserver"
)

func TestMain(m *testing.M) { os.Exit(testserver.Main(m)) }

const name = store.Key[string]("secretKeyName")

// A setup is a backend over an instrumented client, with what records it.
type setup struct {
	reader   *sdkmetric.ManualReader
	spans    *tracetest.InMemoryExporter
	tracers  *sdktrace.TracerProvider
	sessions []*store.Session
}

func newSetup(t *testing.T, client redis.UniversalClient) *setup {
	t.Helper()
	s := &setup{reader: sdkmetric.NewManualReader(), spans: tracetest.NewInMemoryExporter()}
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(s.reader))
	s.tracers = sdktrace.NewTracerProvider(sdktrace.WithSyncer(s.spans))
	opts := &otelstore.Options{System: "valkey", MeterProvider: meters, TracerProvider: s.tracers}
	if err := otelredis.Instrument(client, opts); err != nil {
		t.Fatal(err)
	}
	backend, err := redisstore.New(client, &redisstore.Options{Namespace: "otelredis-" + strings.ToLower(store.NewID()[:8])})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { backend.Close() })
	sessions, err := store.New(otelstore.Wrap(backend, opts), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sessions.Close(context.Background()) })
	for range 30 {
		sess, err := sessions.Create(t.Context(), store.NewID(), name.To("secret value"))
		if err != nil {
			t.Fatal(err)
		}
		s.sessions = append(s.sessions, sess)
	}
	return s
}

// dial returns a client with few connections, so that callers meet.
func dial(t *testing.T, url string) *redis.Client {
	t.Helper()
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	o.PoolSize = 2
	return redis.NewClient(o)
}

// together calls op for each session at once, with a context that with returns, until a batch of some operations is among what was recorded.
func (s *setup) together(t *testing.T, with func(i int) (context.Context, func()), op func(context.Context, *store.Session) error) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		before, _ := s.sizes(t)
		var wg sync.WaitGroup
		for i, sess := range s.sessions {
			wg.Go(func() {
				ctx, end := with(i)
				defer end()
				if err := op(ctx, sess); err != nil {
					t.Errorf("an operation of session %d = %v", i, err)
				}
			})
		}
		wg.Wait()
		if after, _ := s.sizes(t); after > before {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("operations of many callers at once never share a pipeline")
		}
	}
}

// sizes returns how many batches were counted, and the sum of their sizes.
func (s *setup) sizes(t *testing.T) (batches uint64, operations int64) {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := s.reader.Collect(context.Background(), &all); err != nil {
		t.Fatal(err)
	}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			h, ok := m.Data.(metricdata.Histogram[int64])
			if m.Name != "store.batch.size" || !ok {
				continue
			}
			for _, p := range h.DataPoints {
				if got := p.Attributes.ToSlice(); len(got) != 1 || got[0] != attribute.String("db.system.name", "valkey") {
					t.Errorf("the attributes of store.batch.size = %v, want the system", got)
				}
				batches, operations = batches+p.Count, operations+p.Sum
				if low, ok := p.Min.Value(); !ok || low < 2 {
					t.Errorf("the smallest batch = %d, want 2 at least", low)
				}
			}
		}
	}
	return batches, operations
}

// plain is a context without a trace.
func plain(t *testing.T) func(int) (context.Context, func()) {
	return func(int) (context.Context, func()) { return t.Context(), func() {} }
}

func (s *setup) traced(t *testing.T) func(int) (context.Context, func()) {
	return func(i int) (context.Context, func()) {
		ctx, span := s.tracers.Tracer("test").Start(t.Context(), fmt.Sprint("request ", i))
		return ctx, func() { span.End() }
	}
}

func get(ctx context.Context, sess *store.Session) error {
	_, err := name.Get(ctx, sess)
	return err
}

// Each pipeline has a span that is the child of one operation's span, is linked with those of the others, and they with it.
func TestPipelinesAreLinked(t *testing.T) {
	server := testserver.SharedRedis(t)
	cluster := testserver.RedisCluster(t)
	for kind, client := range map[string]redis.UniversalClient{
		"one server": dial(t, server.URL),
		"a cluster":  redis.NewClusterClient(&redis.ClusterOptions{Addrs: cluster.Addrs, PoolSize: 2}),
	} {
		t.Run(kind, func(t *testing.T) {
			t.Cleanup(func() { client.Close() })
			s := newSetup(t, client)
			s.together(t, plain(t), get)
			if got := s.spans.GetSpans(); len(got) > 0 {
				t.Errorf("outside of a trace there are %d spans, the first %q, want none", len(got), got[0].Name)
			}
			_, before := s.sizes(t)
			s.together(t, s.traced(t), get)
			s.together(t, s.traced(t), func(ctx context.Context, sess *store.Session) error {
				return store.Key[int](store.NewID()).Set(ctx, sess, 1) // of a new key, so that Sets merge
			})
			_, after := s.sizes(t)
			s.check(t, after-before)
		})
	}
}

// check looks at all spans. The operations of their pipelines are so many.
func (s *setup) check(t *testing.T, operations int64) {
	t.Helper()
	spans := s.spans.GetSpans()
	byID := make(map[trace.SpanID]tracetest.SpanStub)
	for _, span := range spans {
		byID[span.SpanContext.SpanID()] = span
		for _, text := range []string{span.Name, fmt.Sprint(span.Attributes), fmt.Sprint(span.Links), span.Status.Description} {
			if strings.Contains(text, "secret") || slices.ContainsFunc(s.sessions, func(sess *store.Session) bool { return strings.Contains(text, sess.ID()) }) {
				t.Errorf("a span has what is secret: %s", text)
			}
		}
	}
	linksTo := func(from tracetest.SpanStub, to trace.SpanContext) bool {
		return slices.ContainsFunc(from.Links, func(l sdktrace.Link) bool { return l.SpanContext.Equal(to) })
	}
	total := int64(0)
	for _, span := range spans {
		if span.Name != "pipeline" {
			continue
		}
		attributes := attribute.NewSet(span.Attributes...)
		size, _ := attributes.Value("db.operation.batch.size")
		op, _ := attributes.Value("db.operation.name")
		if total += size.AsInt64(); size.AsInt64() != int64(len(span.Links))+1 || op.AsString() != "PIPELINE" || span.SpanKind != trace.SpanKindClient || span.Status.Code != codes.Unset {
			t.Errorf("the span of a pipeline has %v, %d links, kind %v and status %v; want one operation more than links", span.Attributes, len(span.Links), span.SpanKind, span.Status)
		}
		parent := byID[span.Parent.SpanID()]
		if op, _, _ := strings.Cut(parent.Name, " "); op != "get" && op != "set" || linksTo(parent, span.SpanContext) {
			t.Errorf("the span of a pipeline is a child of %q, want the one of an operation, which is not linked with it as well", parent.Name)
		}
		for _, l := range span.Links {
			if of := byID[l.SpanContext.SpanID()]; !linksTo(of, span.SpanContext) || of.SpanContext.SpanID() == span.Parent.SpanID() {
				t.Errorf("the span of a pipeline is linked with %q, which is not linked with it, or is its parent", of.Name)
			}
		}
	}
	if total != operations || total == 0 {
		t.Errorf("the spans of pipelines are of %d operations, and the metric of %d", total, operations)
	}
}

// failing makes pipelines fail.
type failing struct{ err error }

func (failing) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (failing) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (f failing) ProcessPipelineHook(redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(context.Context, []redis.Cmder) error { return f.err }
}

// A pipeline that fails says so, without the text of the error, and the error is the callers'.
func TestPipelineThatFails(t *testing.T) {
	client := dial(t, testserver.SharedRedis(t).URL)
	t.Cleanup(func() { client.Close() })
	s := newSetup(t, client)
	lost := errors.New("secret text")
	client.AddHook(failing{lost})
	s.together(t, s.traced(t), func(ctx context.Context, sess *store.Session) error {
		if err := get(ctx, sess); err != nil && !errors.Is(err, lost) {
			return err
		}
		return nil
	})
	failed := 0
	for _, span := range s.spans.GetSpans() {
		if span.Name != "pipeline" {
			continue
		}
		attributes := attribute.NewSet(span.Attributes...)
		if kind, ok := attributes.Value("error.type"); ok && kind.AsString() != "" && span.Status.Code == codes.Error {
			failed++
		}
		if text := fmt.Sprint(span.Attributes, span.Status, span.Events); strings.Contains(text, "secret") {
			t.Errorf("the span of a pipeline that failed has the text of the error: %s", text)
		}
	}
	if failed == 0 {
		t.Error("no span of a pipeline says that it has failed")
	}
}

func TestInstrumentRefuses(t *testing.T) {
	for _, client := range []redis.UniversalClient{nil, (*redis.Client)(nil), (*redis.ClusterClient)(nil)} {
		if err := otelredis.Instrument(client, nil); err == nil || !strings.Contains(err.Error(), "the client is nil") {
			t.Errorf("Instrument(%T(nil)) = %v, want an error that says so", client, err)
		}
	}
}
