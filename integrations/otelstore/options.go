package otelstore

import (
	"reflect"
	"strings"

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
	// for a backend of this library, and "store" for any other, also for one that is wrapped already.
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

// systemOf returns the name of the system that a backend of this library is for.
func systemOf(backend store.Backend) string {
	t := reflect.TypeOf(backend)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	name, ours := strings.CutPrefix(t.PkgPath(), "github.com/sessionkv/store/backends/")
	switch {
	case ours && name == "redisstore":
		return "redis"
	case ours && name == "hazelcaststore":
		return "hazelcast"
	case ours && name == "memstore":
		return "memory"
	}
	return "store"
}
