package otelstore_test

import (
	"testing"

	"go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/memstore"
	"github.com/sessionkv/store/integrations/otelstore"
)

// BenchmarkGet is a typed Get from memory: bare, wrapped with nothing that records, and measured.
func BenchmarkGet(b *testing.B) {
	for _, bench := range []struct {
		name string
		wrap func(store.Backend) store.Backend
	}{
		{"bare", func(m store.Backend) store.Backend { return m }},
		{"WrapStores", func(m store.Backend) store.Backend {
			return store.WrapStores(m, func(s store.Store) store.Store { return s })
		}},
		{"global", func(m store.Backend) store.Backend { return otelstore.Wrap(m, nil) }},
		{"noop", func(m store.Backend) store.Backend {
			return otelstore.Wrap(m, &otelstore.Options{MeterProvider: noop.NewMeterProvider()})
		}},
		{"measured", func(m store.Backend) store.Backend {
			return otelstore.Wrap(m, &otelstore.Options{MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))})
		}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			memory := memstore.New(nil)
			defer memory.Close()
			sessions, err := store.New(bench.wrap(memory), nil)
			if err != nil {
				b.Fatal(err)
			}
			ctx := b.Context()
			sess, err := sessions.Create(ctx, store.NewID(), userID.To("u-42"))
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := userID.Get(ctx, sess); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
