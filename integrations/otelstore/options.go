package otelstore

import (
	"reflect"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/sessionkv/store"
)

// scope names the instrumentation.
const scope = "github.com/sessionkv/store/integrations/otelstore"

// Options configures [Wrap]. The zero value is ready to use.
type Options struct {
	// System is the attribute db.system.name, such as "redis" or "valkey". Empty means redis, hazelcast or memory
	// for a backend of this library, also within a wrapper that embeds it. For any other it means "store".
	System string

	// MeterProvider makes the instruments. Nil means the global one.
	MeterProvider metric.MeterProvider

	// TracerProvider makes the spans. Nil means the global one.
	TracerProvider trace.TracerProvider
}

func (o *Options) withDefaults(backend store.Backend) Options {
	var all Options
	if o != nil {
		all = *o
	}
	if all.System == "" {
		all.System = systemOf(backend)
	}
	if all.MeterProvider == nil {
		all.MeterProvider = otel.GetMeterProvider()
	}
	if all.TracerProvider == nil {
		all.TracerProvider = otel.GetTracerProvider()
	}
	return all
}

// systemOf returns the name of the system that a backend of this library is for. It finds the backend also
// where wrappers embed it, as those of backends.Open and store.WrapStores do.
func systemOf(backend store.Backend) string {
	const deepest = 8
	for range deepest {
		v := reflect.ValueOf(backend)
		if v.Kind() == reflect.Pointer {
			v = v.Elem()
		}
		if !v.IsValid() {
			break
		}
		switch v.Type().PkgPath() {
		case backends + "redisstore":
			return "redis"
		case backends + "hazelcaststore":
			return "hazelcast"
		case backends + "memstore":
			return "memory"
		}
		if v.Kind() != reflect.Struct {
			break
		}
		inner := v.FieldByName("Backend")
		if !inner.IsValid() || !inner.CanInterface() {
			break
		}
		var ok bool
		if backend, ok = reflect.TypeAssert[store.Backend](inner); !ok {
			break
		}
	}
	return "store"
}

// backends is where the packages of this library's backends lie.
const backends = "github.com/sessionkv/store/backends/"
