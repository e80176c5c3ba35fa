package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/memstore"
	"github.com/sessionkv/store/codec"
	"github.com/sessionkv/store/internal/zerotest"
	"github.com/sessionkv/store/storetest"
)

// TestNothingPanicsOnZeroValues finds all that the package exports.
func TestNothingPanicsOnZeroValues(t *testing.T) {
	zerotest.Run(t, map[string]any{
		"AsIndexer":        store.AsIndexer,
		"AsScanner":        store.AsScanner,
		"Places":           store.Places,
		"CheckID":          store.CheckID,
		"CheckKey":         store.CheckKey,
		"CodecKey":         store.CodecKey[*int]{},
		"Commit":           store.Commit,
		"CommitTimed":      store.CommitTimed,
		"DestroyIf":        store.DestroyIf,
		"Entry":            store.Entry{},
		"Error":            (*store.Error)(nil),
		"FromContext":      store.FromContext,
		"GetMany":          store.GetMany,
		"Index":            store.Index{},
		"IndexEntry":       store.IndexEntry{},
		"Key":              store.Key[string](""),
		"KeyRing":          (*store.KeyRing)(nil),
		"Keys":             store.Keys,
		"Limits":           store.Limits{},
		"Load":             store.Load,
		"New":              store.New,
		"NewContext":       store.NewContext,
		"NewID":            store.NewID,
		"NewKeyRing":       store.NewKeyRing,
		"Options":          store.Options{},
		"RenewError":       (*store.RenewError)(nil),
		"Save":             store.Save,
		"SealingKey":       store.SealingKey{},
		"Session":          (*store.Session)(nil),
		"Sessions":         (*store.Sessions)(nil),
		"StableReads":      store.StableReads,
		"Stats":            store.Stats{},
		"Terms":            store.Terms{},
		"Tx":               (*store.Tx)(nil),
		"TxValue":          store.TxValue[string]{},
		"Undecodable":      store.Undecodable(0),
		"UndecodableValue": store.UndecodableValue{},
		"Watch":            store.Watch,
		"WrapStores":       store.WrapStores,
	})
}

// TestNothingPanicsOnNilArguments: each call is an error that says what is missing.
func TestNothingPanicsOnNilArguments(t *testing.T) {
	ctx := t.Context()
	sessions := open(t, nil)
	s := create(t, sessions, userID.To("u"))
	for name, call := range map[string]func() error{
		"Load(nil)":       func() error { return store.Load(ctx, s, nil) },
		"Load(Into(nil))": func() error { return store.Load(ctx, s, userID.Into(nil)) },
		"Save(nil)":       func() error { return store.Save(ctx, s, nil) },
		"Create(nil)":     func() error { return second(sessions.Create(ctx, store.NewID(), nil)) },
		"CreateFor(nil)":  func() error { return second(sessions.CreateFor(ctx, store.NewID(), time.Minute, nil)) },
		"Open(nil)":       func() error { _, _, err := sessions.Open(ctx, "", nil, nil); return err },
		"Rotate(nil)":     func() error { return second(sessions.Rotate(ctx, s, store.NewID(), nil)) },
		"Session.Update":  func() error { return s.Update(ctx, nil) },
		"Key.Update":      func() error { return second(userID.Update(ctx, s, nil)) },
		"Key.In(nil)":     func() error { return second(userID.In(nil).Get()) },
		"Key.In(zero)":    func() error { return userID.In(new(store.Tx)).Set("x") },
		"DestroyIf(nil)":  func() error { return store.DestroyIf(ctx, nil, nil) },
		"Commit(nil)":     func() error { return second(store.Commit(ctx, nil, nil, nil)) },
		"CheckType(nil)":  func() error { return codec.CheckType(codec.Msgpack, nil) },
		"zero memstore":   func() error { return createOn(ctx, new(memstore.Backend)) },
		"zero faulty":     func() error { return createOn(ctx, new(storetest.FaultyBackend)) },
		"Faulty(nil)":     func() error { return createOn(ctx, storetest.Faulty(nil)) },
		"a nil memstore":  func() error { return createOn(ctx, (*memstore.Backend)(nil)) },
		"WrapStores(nil)": func() error { return createOn(ctx, store.WrapStores(nil, nil)) },
		"a zero KeyRing":  func() error { return second(new(store.KeyRing).Seal(nil, nil, nil)) },
		"a nil KeyRing":   func() error { return second((*store.KeyRing)(nil).Open(nil, make([]byte, 64), nil)) },
		"New(nil KeyRing)": func() error {
			return second(store.New(memstore.New(nil), &store.Options{Sealer: (*store.KeyRing)(nil)}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			if err := call(); err == nil {
				t.Errorf("%s = nil, want an error", name)
			}
		})
	}
	if got, ok := store.FromContext(store.NewContext(ctx, nil)); got != nil || ok {
		t.Errorf("FromContext() of a nil session = %v, %t, want nil, false", got, ok)
	}
	if got, err := userID.Get(ctx, s); got != "u" || err != nil {
		t.Errorf("Get() after all that = %q, %v, want %q", got, err, "u")
	}
}

func createOn(ctx context.Context, backend store.Backend) error {
	sessions, err := store.New(backend, nil)
	if err == nil {
		_, err = sessions.Create(ctx, store.NewID())
	}
	return err
}
