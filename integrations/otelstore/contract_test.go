package otelstore_test

import (
	"testing"

	"go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/memstore"
	"github.com/sessionkv/store/integrations/otelstore"
	"github.com/sessionkv/store/storetest"
)

// TestContract: a wrapped backend keeps the contract of its own, with every ability, whether anything
// records or not.
func TestContract(t *testing.T) {
	t.Run("recorded", func(t *testing.T) {
		opts := &otelstore.Options{MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))}
		storetest.Run(t, storetest.Harness{
			Open:     func(testing.TB) store.Backend { return otelstore.Wrap(memstore.New(nil), opts) },
			Synctest: true,
		})
	})
	t.Run("not recorded", func(t *testing.T) {
		opts := &otelstore.Options{MeterProvider: noop.NewMeterProvider()}
		storetest.Run(t, storetest.Harness{
			Open:     func(testing.TB) store.Backend { return otelstore.Wrap(memstore.New(nil), opts) },
			Synctest: true,
		})
	})
}
