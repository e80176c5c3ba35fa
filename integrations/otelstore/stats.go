package otelstore

import (
	"context"
	"errors"
	"slices"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/sessionkv/store"
)

// The attributes that tell ways of beginning and of ending apart.
const (
	beginKey = attribute.Key("store.begin")
	endKey   = attribute.Key("store.end")
)

// Observe reports the figures of sessions whenever metrics are collected. The given attributes tell several Sessions of
// one process apart; see the package comment. Reading them costs no round trip. A nil provider means the global one.
//
// Stop ends that; call it when sessions are closed. It may be called several times. After an error stop does nothing.
func Observe(sessions *store.Sessions, provider metric.MeterProvider, attributes ...attribute.KeyValue) (stop func() error, err error) {
	nothing := func() error { return nil }
	if sessions == nil {
		return nothing, errors.New("otelstore: the Sessions to observe are nil; pass those that store.New returned")
	}
	if provider == nil {
		provider = otel.GetMeterProvider()
	}
	meter := provider.Meter(scope)
	var f figures
	if err := f.init(meter); err != nil {
		return nothing, err
	}
	with := func(more ...attribute.KeyValue) metric.MeasurementOption {
		return metric.WithAttributeSet(attribute.NewSet(append(slices.Clip(attributes), more...)...))
	}
	all := with()
	created, resumed := with(beginKey.String("create")), with(beginKey.String("resume"))
	suspended, destroyed := with(endKey.String("suspended")), with(endKey.String("destroyed"))
	takenOver, expired, lost := with(endKey.String("taken_over")), with(endKey.String("expired")), with(endKey.String("lost"))

	registration, err := meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		st := sessions.Stats()
		o.ObserveInt64(f.owned, int64(st.Owned), all)
		o.ObserveInt64(f.overdue, int64(st.Overdue), all)
		o.ObserveInt64(f.left, int64(st.Left), all)
		o.ObserveInt64(f.begun, int64(st.Created), created)
		o.ObserveInt64(f.begun, int64(st.Resumed), resumed)
		o.ObserveInt64(f.ended, int64(st.Suspended), suspended)
		o.ObserveInt64(f.ended, int64(st.Destroyed), destroyed)
		o.ObserveInt64(f.ended, int64(st.TakenOver), takenOver)
		o.ObserveInt64(f.ended, int64(st.Expired), expired)
		o.ObserveInt64(f.ended, int64(st.Lost-st.TakenOver-st.Expired), lost)
		o.ObserveInt64(f.attached, int64(st.Attached), all)
		o.ObserveInt64(f.failures, int64(st.RenewFailures), all)
		o.ObserveInt64(f.conflicts, int64(st.Conflicts), all)
		o.ObserveInt64(f.undecodable, int64(st.Undecodable), all)
		return nil
	}, f.owned, f.overdue, f.left, f.begun, f.ended, f.attached, f.failures, f.conflicts, f.undecodable)
	if err != nil {
		return nothing, err
	}
	return registration.Unregister, nil
}

// figures are the instruments of Observe.
type figures struct {
	owned, overdue, left             metric.Int64ObservableUpDownCounter
	begun, ended, attached, failures metric.Int64ObservableCounter
	conflicts, undecodable           metric.Int64ObservableCounter
}

func (f *figures) init(meter metric.Meter) error {
	var errs []error
	level := func(name, unit, text string) metric.Int64ObservableUpDownCounter {
		i, err := meter.Int64ObservableUpDownCounter(name, metric.WithUnit(unit), metric.WithDescription(text))
		errs = append(errs, err)
		return i
	}
	count := func(name, unit, text string) metric.Int64ObservableCounter {
		i, err := meter.Int64ObservableCounter(name, metric.WithUnit(unit), metric.WithDescription(text))
		errs = append(errs, err)
		return i
	}
	f.owned = level("store.sessions.owned", "{session}", "Sessions that this process owns.")
	f.overdue = level("store.sessions.overdue", "{session}", "Owned sessions whose latest renewal failed.")
	f.left = level("store.sessions.left", "{session}", "Sessions that were let go of without the backend's word for it.")
	f.begun = count("store.sessions.begun", "{session}", "Sessions that this process began or took over.")
	f.ended = count("store.sessions.ended", "{session}", "Sessions that were suspended, destroyed or lost.")
	f.attached = count("store.handles.attached", "{handle}", "Handles that Attach returned.")
	f.failures = count("store.renewals.failed", "{renewal}", "Renewals of a session that failed, for another reason than its end.")
	f.conflicts = count("store.updates.conflicted", "{conflict}", "Updates, and calls like them, that began anew because another writer had come first.")
	f.undecodable = count("store.values.undecodable", "{value}", "Values that were read and did not decode or open.")
	return errors.Join(errs...)
}
