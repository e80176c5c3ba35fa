package otelstore_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/memstore"
	"github.com/sessionkv/store/integrations/otelstore"
	"github.com/sessionkv/store/storetest"
)

const userID = store.Key[string]("secretKeyName")

// A setup is a wrapped backend in memory with what records it.
type setup struct {
	reader   *sdkmetric.ManualReader
	meters   *sdkmetric.MeterProvider
	spans    *tracetest.InMemoryExporter
	tracers  *sdktrace.TracerProvider
	faulty   *storetest.FaultyBackend
	backend  store.Backend
	sessions *store.Sessions
}

func newSetup(t testing.TB, opts *store.Options) *setup {
	t.Helper()
	s := &setup{reader: sdkmetric.NewManualReader(), spans: tracetest.NewInMemoryExporter()}
	s.meters = sdkmetric.NewMeterProvider(sdkmetric.WithReader(s.reader))
	s.tracers = sdktrace.NewTracerProvider(sdktrace.WithSyncer(s.spans))
	s.faulty = storetest.Faulty(memstore.New(&memstore.Options{Namespace: "chat"}))
	s.backend = otelstore.Wrap(s.faulty, &otelstore.Options{System: "memory", MeterProvider: s.meters, TracerProvider: s.tracers})
	t.Cleanup(func() { s.backend.Close() })
	var err error
	if s.sessions, err = store.New(s.backend, opts); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.faulty.Heal()
		s.sessions.Close(context.Background())
	})
	return s
}

// collect returns the metrics by name.
func (s *setup) collect(t testing.TB) map[string]metricdata.Metrics {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := s.reader.Collect(context.Background(), &all); err != nil {
		t.Fatal(err)
	}
	byName := make(map[string]metricdata.Metrics)
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			byName[m.Name] = m
		}
	}
	return byName
}

// counts returns how often each operation ended how, such as "get" or "get not_found".
func (s *setup) counts(t testing.TB) map[string]uint64 {
	t.Helper()
	m := s.collect(t)["db.client.operation.duration"]
	h, ok := m.Data.(metricdata.Histogram[float64])
	if !ok {
		return nil
	}
	if m.Unit != "s" {
		t.Errorf("the unit of the duration = %q, want s", m.Unit)
	}
	counts := make(map[string]uint64)
	for _, p := range h.DataPoints {
		counts[outcomeOf(t, p.Attributes)] += p.Count
	}
	return counts
}

// outcomeOf checks the attributes of an operation, and returns its name and how it ended.
func outcomeOf(t testing.TB, set attribute.Set) string {
	t.Helper()
	got := make(map[string]string)
	for _, a := range set.ToSlice() {
		got[string(a.Key)] = a.Value.Emit()
	}
	if got["db.system.name"] != "memory" || got["db.namespace"] != "chat" {
		t.Errorf("the attributes of an operation = %v, want memory and chat", got)
	}
	what := got["db.operation.name"]
	for _, key := range []string{"error.type", "store.refusal"} {
		if v := got[key]; v != "" {
			what += " " + key + "=" + v
		}
		delete(got, key)
	}
	if len(got) != 3 {
		t.Errorf("the attributes of an operation = %v, want three", got)
	}
	return what
}

// use does one of each with a session.
func use(t testing.TB, ctx context.Context, sessions *store.Sessions) *store.Session {
	t.Helper()
	s, err := sessions.Create(ctx, store.NewID(), userID.To("secret value"))
	if err != nil {
		t.Fatal(err)
	}
	other := store.Key[int]("n")
	var id string
	var n int
	for what, err := range map[string]error{
		"Get": second(userID.Get(ctx, s)), "Has": second(userID.Has(ctx, s)), "Set": userID.Set(ctx, s, "secret value"), "Delete": other.Delete(ctx, s),
		"Save": store.Save(ctx, s, userID.To("secret value"), store.Key[int]("m").To(1)),
		"Load": store.Load(ctx, s, userID.Into(&id), store.Key[int]("m").Into(&n)),
		"Keys": second(s.Keys(ctx)), "Attach": second(sessions.Attach(ctx, s.ID())),
	} {
		if err != nil {
			t.Errorf("%s = %v", what, err)
		}
	}
	if _, err := store.Key[int]("absent").Get(ctx, s); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Get of nothing = %v", err)
	}
	if _, err := sessions.Attach(ctx, store.NewID()); !errors.Is(err, store.ErrNoSession) {
		t.Errorf("Attach to nothing = %v", err)
	}
	again, err := sessions.Resume(ctx, s.ID())
	if err != nil {
		t.Fatal(err)
	}
	return again
}

func second[T any](_ T, err error) error { return err }

func TestOperationsAreMeasured(t *testing.T) {
	s := newSetup(t, nil)
	sess := use(t, t.Context(), s.sessions)
	if err := sess.Destroy(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := s.counts(t)
	want := map[string]uint64{
		"create": 1, "get": 1, "get store.refusal=not_found": 1, "has": 1, "set": 1, "delete": 1, "commit": 1, "get_many": 1, "keys": 1,
		"attach": 1, "attach store.refusal=no_session": 1, "resume": 1, "renew": 1, "destroy": 1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the operations (-want +got):\n%s", diff)
	}
	h := s.collect(t)["db.client.operation.duration"].Data.(metricdata.Histogram[float64])
	if want := []float64{0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10}; !slices.Equal(h.DataPoints[0].Bounds, want) {
		t.Errorf("the buckets = %v, want those of the semantic conventions", h.DataPoints[0].Bounds)
	}
}

func TestOutcomes(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{store.ErrUnknownOutcome, "error.type=unknown_outcome"},
		{errors.Join(store.ErrUnknownOutcome, context.DeadlineExceeded), "error.type=unknown_outcome"},
		{store.ErrClosed, "error.type=closed"},
		{store.ErrForeignStore, "error.type=foreign_store"},
		{store.ErrConflict, "store.refusal=conflict"},
		{store.ErrExists, "store.refusal=exists"},
		{store.ErrDestroyed, "store.refusal=destroyed"},
		{store.ErrExpired, "store.refusal=expired"},
		{store.ErrResumed, "store.refusal=resumed"},
		{store.ErrTooManyKeys, "store.refusal=too_many_keys"},
		{store.ErrTooLarge, "store.refusal=too_large"},
		{store.ErrInvalidKey, "store.refusal=invalid"},
		{store.ErrInvalidID, "store.refusal=invalid"},
		{errors.ErrUnsupported, "store.refusal=unsupported"},
		{context.Canceled, "error.type=canceled"},
		{fmt.Errorf("reading: %w", context.DeadlineExceeded), "error.type=timeout"},
		{&net.OpError{Op: "dial", Err: timeout{}}, "error.type=timeout"},
		{&net.OpError{Op: "dial", Err: errors.New("refused")}, "error.type=connection"},
		{io.EOF, "error.type=connection"},
		{errors.New("OOM command not allowed"), "error.type=_OTHER"},
	} {
		s := newSetup(t, nil)
		sess, err := s.sessions.Create(t.Context(), store.NewID())
		if err != nil {
			t.Fatal(err)
		}
		s.faulty.FailOnce(storetest.OpGet, tt.err)
		_, _ = userID.Get(t.Context(), sess)
		if got := s.counts(t); got["get "+tt.want] != 1 {
			t.Errorf("after Get = %v: the operations are %v, want get %s", tt.err, got, tt.want)
		}
	}
}

type timeout struct{}

func (timeout) Error() string   { return "slow" }
func (timeout) Timeout() bool   { return true }
func (timeout) Temporary() bool { return true }

// TestRenewalsAreOneOperation: it fails when one of them failed, and not when one has ended.
func TestRenewalsAreOneOperation(t *testing.T) {
	s := newSetup(t, nil)
	ctx := t.Context()
	terms := store.Terms{Lease: time.Minute}
	var all []store.Store
	for range 3 {
		one, err := s.backend.Create(ctx, store.NewID(), nil, terms)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, one)
	}
	if err := all[1].Destroy(ctx); err != nil {
		t.Fatal(err)
	}
	errs := s.backend.Renew(ctx, all, time.Minute)
	if len(errs) != 3 || !errors.Is(errs[1], store.ErrDestroyed) || errs[0] != nil {
		t.Errorf("Renew = %v, want the second ended", errs)
	}
	s.faulty.FailOnce(storetest.OpRenew, io.EOF)
	s.backend.Renew(ctx, all, time.Minute)
	got := s.counts(t)
	if got["renew"] != 1 || got["renew error.type=connection"] != 1 {
		t.Errorf("the operations = %v, want one renewal that went well and one that failed", got)
	}
}

func TestSpansOnlyWithinARecordedTrace(t *testing.T) {
	s := newSetup(t, nil)
	use(t, t.Context(), s.sessions)
	if got := s.spans.GetSpans(); len(got) != 0 {
		t.Errorf("without a trace there are %d spans, want none", len(got))
	}
	unsampled := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample()))
	ctx, span := unsampled.Tracer("test").Start(t.Context(), "request")
	use(t, ctx, s.sessions)
	span.End()
	if got := s.spans.GetSpans(); len(got) != 0 {
		t.Errorf("within a trace that is not recorded there are %d spans, want none", len(got))
	}

	ctx, span = s.tracers.Tracer("test").Start(t.Context(), "request")
	sess := use(t, ctx, s.sessions)
	s.faulty.FailOnce(storetest.OpGet, io.EOF)
	_, _ = userID.Get(ctx, sess)
	span.End()
	var got []string
	for _, sp := range s.spans.GetSpans() {
		if sp.Name == "request" {
			continue
		}
		if sp.Parent.SpanID() != span.SpanContext().SpanID() || sp.SpanKind != trace.SpanKindInternal {
			t.Errorf("the span %s: parent %v, kind %v, want the request's and internal", sp.Name, sp.Parent.SpanID(), sp.SpanKind)
		}
		attributes := slices.DeleteFunc(slices.Clone(sp.Attributes), func(a attribute.KeyValue) bool { return a.Key == "db.operation.batch.size" })
		what := outcomeOf(t, attribute.NewSet(attributes...))
		if failed := strings.Contains(what, "error.type"); failed != (sp.Status.Code == codes.Error) {
			t.Errorf("the span of %s has the status %v", what, sp.Status)
		}
		if op, _, _ := strings.Cut(what, " "); sp.Name != op+" chat" {
			t.Errorf("the span of %s is called %q", what, sp.Name)
		}
		got = append(got, what)
	}
	slices.Sort(got)
	got = slices.Compact(got)
	want := []string{"attach", "attach store.refusal=no_session", "commit", "create", "delete", "get", "get error.type=connection", "get store.refusal=not_found", "get_many", "has", "keys", "renew", "resume", "set"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the spans (-want +got):\n%s", diff)
	}
}

// TestNothingSecretIsRecorded: no ID, no key, no value and no text of an error.
func TestNothingSecretIsRecorded(t *testing.T) {
	s := newSetup(t, nil)
	ctx, span := s.tracers.Tracer("test").Start(t.Context(), "request")
	stop, err := otelstore.Observe(s.sessions, s.meters)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	sess := use(t, ctx, s.sessions)
	for _, op := range []storetest.Op{storetest.OpGet, storetest.OpSet, storetest.OpKeys, storetest.OpAttach} {
		s.faulty.FailOnce(op, errors.New("secret error of "+sess.ID()))
	}
	_, _ = userID.Get(ctx, sess)
	_ = userID.Set(ctx, sess, "secret value")
	_, _ = sess.Keys(ctx)
	_, _ = s.sessions.Attach(ctx, sess.ID())
	span.End()

	var texts []string
	for _, sp := range s.spans.GetSpans() {
		texts = append(texts, sp.Name, sp.Status.Description, fmt.Sprint(sp.Attributes), fmt.Sprint(sp.Events), fmt.Sprint(sp.Links))
	}
	for name, m := range s.collect(t) {
		texts = append(texts, name, m.Description, fmt.Sprintf("%+v", m.Data))
	}
	for _, text := range texts {
		for _, secret := range []string{sess.ID(), "secret"} {
			if strings.Contains(text, secret) {
				t.Errorf("%q is recorded: %s", secret, text)
			}
		}
	}
	if got := fmt.Sprintf("%v %+v %#v", sess.Store(), sess.Store(), sess.Store()); strings.Contains(got, sess.ID()) {
		t.Errorf("a wrapped Store is printed with its ID: %s", got)
	}
}

func TestIndexAndScanAreMeasured(t *testing.T) {
	user := store.Key[string]("user")
	s := newSetup(t, &store.Options{Indexes: []store.Index{user.Index()}})
	ctx := t.Context()
	if _, err := s.sessions.Create(ctx, store.NewID(), user.To("u")); err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, err := range user.Find(ctx, s.sessions, "u") {
		if err != nil {
			t.Fatal(err)
		}
		found++
	}
	scanner, err := store.AsScanner(s.backend)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := scanner.Scan(ctx, ""); err != nil {
		t.Fatal(err)
	}
	got := s.counts(t)
	if found != 1 || got["put_entries"] == 0 || got["entries"] == 0 || got["scan"] != 1 {
		t.Errorf("found %d sessions, and the operations are %v", found, got)
	}
}

func TestObserve(t *testing.T) {
	s := newSetup(t, &store.Options{Grace: time.Minute})
	ctx := t.Context()
	stop, err := otelstore.Observe(s.sessions, s.meters, attribute.String("node", "a"))
	if err != nil {
		t.Fatal(err)
	}
	var all []*store.Session
	for range 5 {
		sess, err := s.sessions.Create(ctx, store.NewID())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, sess)
	}
	_, err = s.sessions.Resume(ctx, all[0].ID()) // all[0] is taken over
	if err := errors.Join(err, all[1].Destroy(ctx), all[2].Release(ctx), all[3].Release(ctx), second(s.sessions.Attach(ctx, all[4].ID()))); err != nil {
		t.Fatal(err)
	}
	n, last := store.Key[int]("n"), all[4]
	if _, err := n.Update(ctx, last, func(old int, _ bool) (int, error) {
		if old == 0 { // another writer comes first, once
			err := n.Set(ctx, last, 1)
			return 2, err
		}
		return old + 1, nil
	}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := store.Key[string]("n").Get(ctx, last); !errors.Is(err, store.ErrDecode) {
			t.Errorf("Get() of a number as a string = %v, want ErrDecode", err)
		}
	}
	want := map[string]int64{
		"store.sessions.owned": 2, "store.sessions.overdue": 0, "store.sessions.left": 0,
		"store.sessions.begun create": 5, "store.sessions.begun resume": 1, "store.handles.attached": 1, "store.renewals.failed": 0, "store.updates.conflicted": 1, "store.values.undecodable": 2,
		"store.sessions.ended suspended": 2, "store.sessions.ended destroyed": 1,
		"store.sessions.ended taken_over": 1, "store.sessions.ended expired": 0, "store.sessions.ended lost": 0,
	}
	if diff := cmp.Diff(want, figures(t, s)); diff != "" {
		t.Errorf("the figures (-want +got):\n%s", diff)
	}
	for range 2 {
		if err := stop(); err != nil {
			t.Errorf("stop = %v", err)
		}
	}
	if got := figures(t, s); len(got) != 0 {
		t.Errorf("the figures after stop = %v, want none", got)
	}
}

// figures returns what Observe reports, and checks the attribute that tells it apart.
func figures(t *testing.T, s *setup) map[string]int64 {
	t.Helper()
	got := make(map[string]int64)
	for name, m := range s.collect(t) {
		sum, ok := m.Data.(metricdata.Sum[int64])
		if !ok {
			continue
		}
		for _, p := range sum.DataPoints {
			if v, _ := p.Attributes.Value("node"); v.AsString() != "a" {
				t.Errorf("%s has the attributes %v, want the node", name, p.Attributes.ToSlice())
			}
			key := name
			for _, by := range []attribute.Key{"store.begin", "store.end"} {
				if v, ok := p.Attributes.Value(by); ok {
					key += " " + v.AsString()
				}
			}
			got[key] = p.Value
			if level := slices.Contains([]string{"store.sessions.owned", "store.sessions.overdue", "store.sessions.left"}, name); level == sum.IsMonotonic {
				t.Errorf("%s is monotonic: %t", name, sum.IsMonotonic)
			}
		}
	}
	return got
}

func TestObserveNothing(t *testing.T) {
	stop, err := otelstore.Observe(nil, nil)
	if err == nil || stop == nil || stop() != nil {
		t.Errorf("Observe(nil, nil) = %v, want an error and a stop that does nothing", err)
	}
}

func TestSystem(t *testing.T) {
	same := func(s store.Store) store.Store { return s }
	for name, tt := range map[string]struct {
		backend      store.Backend
		system, want string
	}{
		"memstore":      {memstore.New(nil), "", "memory"},
		"embedded":      {owning{memstore.New(nil)}, "", "memory"},
		"WrapStores":    {store.WrapStores(memstore.New(nil), same), "", "memory"},
		"twice":         {otelstore.Wrap(store.WrapStores(memstore.New(nil), same), nil), "", "memory"},
		"hidden":        {plain{memstore.New(nil)}, "", "store"},
		"named":         {memstore.New(nil), "valkey", "valkey"},
		"embeds itself": {selfish(memstore.New(nil)), "", "store"},
	} {
		reader := sdkmetric.NewManualReader()
		meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
		b := otelstore.Wrap(tt.backend, &otelstore.Options{System: tt.system, MeterProvider: meters})
		if _, err := b.Create(t.Context(), store.NewID(), nil, store.Terms{Lease: time.Minute}); err != nil {
			t.Fatal(err)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		var all metricdata.ResourceMetrics
		if err := reader.Collect(t.Context(), &all); err != nil {
			t.Fatal(err)
		}
		point := all.ScopeMetrics[0].Metrics[0].Data.(metricdata.Histogram[float64]).DataPoints[0]
		if got, _ := point.Attributes.Value("db.system.name"); got.AsString() != tt.want {
			t.Errorf("%s: db.system.name = %q, want %q", name, got.AsString(), tt.want)
		}
	}
}

// An owning embeds a Backend as what backends.Open returns does.
type owning struct{ store.Backend }

// selfish returns a wrapper whose field Backend is the wrapper.
func selfish(b store.Backend) store.Backend {
	s := &loop{inner: b}
	s.Backend = s
	return s
}

type loop struct {
	store.Backend
	inner store.Backend
}

func (l *loop) Namespace() string { return "" }
func (l *loop) Close() error      { return l.inner.Close() }
func (l *loop) Create(ctx context.Context, id string, initial []store.Entry, t store.Terms) (store.Store, error) {
	return l.inner.Create(ctx, id, initial, t)
}

// globals sets the global providers, which a process does once.
var globals = sync.OnceValue(func() *setup {
	s := &setup{reader: sdkmetric.NewManualReader(), spans: tracetest.NewInMemoryExporter()}
	s.meters = sdkmetric.NewMeterProvider(sdkmetric.WithReader(s.reader))
	s.tracers = sdktrace.NewTracerProvider(sdktrace.WithSyncer(s.spans))
	otel.SetMeterProvider(s.meters)
	otel.SetTracerProvider(s.tracers)
	return s
})

// TestGlobalProvidersSetLater: what a program sets up after it has wrapped its backend counts from then on.
func TestGlobalProvidersSetLater(t *testing.T) {
	b := otelstore.Wrap(memstore.New(nil), nil)
	defer b.Close()
	sessions, err := store.New(b, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer sessions.Close(context.Background())
	stop, err := otelstore.Observe(sessions, nil)
	if err != nil {
		t.Fatal(err)
	}
	use(t, t.Context(), sessions)
	s := globals()
	s.spans.Reset()
	ctx, span := s.tracers.Tracer("test").Start(t.Context(), "request")
	use(t, ctx, sessions)
	span.End()
	got := s.collect(t)
	h, ok := got["db.client.operation.duration"].Data.(metricdata.Histogram[float64])
	if !ok || len(h.DataPoints) == 0 || len(s.spans.GetSpans()) < 10 {
		t.Errorf("with global providers that were set later there are %d spans, and the metrics %v", len(s.spans.GetSpans()), got)
	}
	if owned, ok := got["store.sessions.owned"].Data.(metricdata.Sum[int64]); !ok || owned.DataPoints[0].Value != 2 {
		t.Errorf("store.sessions.owned = %v, want 2", got["store.sessions.owned"])
	}
	if err := stop(); err != nil {
		t.Errorf("stop = %v", err)
	}
}
