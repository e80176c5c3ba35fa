package otelstore_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"maps"
	"slices"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/memstore"
	"github.com/sessionkv/store/integrations/otelstore"
)

// A program sets up OpenTelemetry with an exporter of its own; in this example a reader takes its
// place.
func Example() {
	if err := measure(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// db.client.operation.duration of create: 1
	// db.client.operation.duration of get: 2
	// store.sessions.owned: 1
}

func measure() (err error) {
	ctx := context.Background()
	reader := sdkmetric.NewManualReader()
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	defer func() { err = errors.Join(err, provider.Shutdown(ctx)) }()

	// With the global provider, set before, nil does for the options.
	backend := otelstore.Wrap(memstore.New(nil), &otelstore.Options{MeterProvider: provider})
	defer func() { err = errors.Join(err, backend.Close()) }()
	sessions, err := store.New(backend, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sessions.Close(ctx)) }()
	stop, err := otelstore.Observe(sessions, provider)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()

	name := store.Key[string]("name")
	sess, err := sessions.Create(ctx, store.NewID(), name.To("Ada"))
	if err != nil {
		return err
	}
	for range 2 {
		if _, err := name.Get(ctx, sess); err != nil {
			return err
		}
	}
	return report(ctx, reader)
}

// report prints some of the figures.
func report(ctx context.Context, reader *sdkmetric.ManualReader) error {
	var all metricdata.ResourceMetrics
	if err := reader.Collect(ctx, &all); err != nil {
		return err
	}
	figures := make(map[string]uint64)
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch data := m.Data.(type) {
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					op, _ := p.Attributes.Value("db.operation.name")
					figures[m.Name+" of "+op.AsString()] = p.Count
				}
			case metricdata.Sum[int64]:
				if m.Name == "store.sessions.owned" {
					figures[m.Name] = uint64(data.DataPoints[0].Value)
				}
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(figures)) {
		fmt.Printf("%s: %d\n", name, figures[name])
	}
	return nil
}

// Several Sessions of one process are told apart by an attribute.
func ExampleObserve() {
	if err := observeTwo(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// browsers: 0
	// sockets: 0
}

func observeTwo() (err error) {
	ctx := context.Background()
	reader := sdkmetric.NewManualReader()
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	defer func() { err = errors.Join(err, provider.Shutdown(ctx)) }()
	backend := memstore.New(nil)
	defer func() { err = errors.Join(err, backend.Close()) }()
	for _, name := range []string{"browsers", "sockets"} {
		sessions, err := store.New(backend, nil)
		if err != nil {
			return err
		}
		stop, err := otelstore.Observe(sessions, provider, attribute.String("sessions", name))
		if err != nil {
			return err
		}
		defer stop() // before the Sessions are closed
	}

	var all metricdata.ResourceMetrics
	if err := reader.Collect(ctx, &all); err != nil {
		return err
	}
	var lines []string
	for _, m := range all.ScopeMetrics[0].Metrics {
		if data, ok := m.Data.(metricdata.Sum[int64]); ok && m.Name == "store.sessions.owned" {
			for _, p := range data.DataPoints {
				which, _ := p.Attributes.Value("sessions")
				lines = append(lines, fmt.Sprintf("%s: %d", which.AsString(), p.Value))
			}
		}
	}
	slices.Sort(lines)
	for _, line := range lines {
		fmt.Println(line)
	}
	return nil
}

// The name of the server is given, where Redis is not what it is called.
func ExampleWrap() {
	backend := otelstore.Wrap(memstore.New(nil), &otelstore.Options{System: "valkey"})
	if _, err := store.New(backend, nil); err != nil {
		log.Fatal(err)
	}
	if err := backend.Close(); err != nil {
		log.Fatal(err)
	}
	// Output:
}
