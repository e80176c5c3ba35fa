package otelstore_test

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/redisstore"
	"github.com/sessionkv/store/integrations/otelstore"
	"github.com/sessionkv/store/integrations/otelstore/otelredis"
	"github.com/sessionkv/store/internal/testserver"
	"github.com/sessionkv/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(testserver.Main(m)) }

// TestDashboardAsksForWhatThereIs compares dashboard.json with the code. Each of its metrics and attributes is
// one that the code makes, by its name in Prometheus, and it has all of them.
func TestDashboardAsksForWhatThereIs(t *testing.T) {
	text, err := os.ReadFile("dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Templating struct {
			List []struct{ Name, Definition string }
		}
		Panels []struct {
			ID      int
			Title   string
			Targets []struct{ Expr, LegendFormat string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatalf("dashboard.json: %v", err)
	}
	made, labels := prometheus(t)
	var queries, variables []string
	for _, v := range dashboard.Templating.List {
		variables = append(variables, v.Name)
		if v.Definition != "" {
			queries = append(queries, v.Definition)
		}
	}
	ids := make(map[int]bool)
	for _, p := range dashboard.Panels {
		if ids[p.ID] || len(p.Targets) == 0 || p.Title == "" {
			t.Errorf("panel %d %q: its ID stands twice, or it asks for nothing, or has no title", p.ID, p.Title)
		}
		ids[p.ID] = true
		for _, target := range p.Targets {
			queries = append(queries, target.Expr, target.LegendFormat)
		}
	}

	var asked []string
	for _, q := range queries {
		if strings.Count(q, "(") != strings.Count(q, ")") || strings.Count(q, "{") != strings.Count(q, "}") {
			t.Errorf("brackets do not match in %s", q)
		}
		for _, v := range regexp.MustCompile(`\$(\w+)`).FindAllStringSubmatch(q, -1) {
			if !slices.Contains(variables, v[1]) && !strings.HasPrefix(v[1], "__") {
				t.Errorf("there is no variable %s in %s", v[0], q)
			}
		}
		for _, name := range regexp.MustCompile(`\b(?:db|store|error)_\w+`).FindAllString(q, -1) {
			switch {
			case slices.Contains(made, name):
				asked = append(asked, name)
			case !slices.Contains(labels, name):
				t.Errorf("the code makes neither a metric nor an attribute %s, which is in %s", name, q)
			}
		}
	}
	for _, name := range made {
		if !slices.Contains(asked, name) {
			t.Errorf("the dashboard does not show %s", name)
		}
	}
}

// prometheus returns the names that Prometheus gives to the metrics and attributes that the code makes.
func prometheus(t *testing.T) (metrics, labels []string) {
	t.Helper()
	s := newSetup(t, nil)
	stop, err := otelstore.Observe(s.sessions, s.meters)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	sess := use(t, t.Context(), s.sessions)
	s.faulty.FailOnce(storetest.OpGet, store.ErrUnknownOutcome)
	_, _ = userID.Get(t.Context(), sess)
	s.batch(t)
	plain := strings.NewReplacer(".", "_")
	note := func(set attribute.Set) {
		for _, a := range set.ToSlice() {
			labels = append(labels, plain.Replace(string(a.Key)))
		}
	}
	for name, m := range s.collect(t) {
		name = plain.Replace(name)
		if m.Unit == "s" {
			name += "_seconds"
		}
		switch data := m.Data.(type) {
		case metricdata.Histogram[float64]:
			metrics = append(metrics, name+"_bucket", name+"_count", name+"_sum")
			for _, p := range data.DataPoints {
				note(p.Attributes)
			}
		case metricdata.Histogram[int64]:
			metrics = append(metrics, name+"_bucket", name+"_count", name+"_sum")
			for _, p := range data.DataPoints {
				note(p.Attributes)
			}
		case metricdata.Sum[int64]:
			if data.IsMonotonic {
				name += "_total"
			}
			metrics = append(metrics, name)
			for _, p := range data.DataPoints {
				note(p.Attributes)
			}
		default:
			t.Errorf("%s is a %T", name, m.Data)
		}
	}
	return metrics, labels
}

// batch has operations share a pipeline to Redis.
func (s *setup) batch(t *testing.T) {
	t.Helper()
	o, err := redis.ParseURL(testserver.SharedRedis(t).URL)
	if err != nil {
		t.Fatal(err)
	}
	o.PoolSize = 2
	client := redis.NewClient(o)
	defer client.Close()
	if err := otelredis.Instrument(client, &otelstore.Options{MeterProvider: s.meters}); err != nil {
		t.Fatal(err)
	}
	backend, err := redisstore.New(client, &redisstore.Options{Namespace: "dashboard-" + strings.ToLower(store.NewID()[:8])})
	if err != nil {
		t.Fatal(err)
	}
	defer backend.Close()
	raw, err := backend.Create(t.Context(), store.NewID(), nil, store.Terms{Lease: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); ; {
		var wg sync.WaitGroup
		for range 30 {
			wg.Go(func() {
				if _, err := raw.Has(t.Context(), "k"); err != nil {
					t.Errorf("Has() = %v", err)
				}
			})
		}
		wg.Wait()
		if _, ok := s.collect(t)["store.batch.size"]; ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("operations of many callers at once never share a pipeline")
		}
	}
}
