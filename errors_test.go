package store_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/sessionkv/store"
)

// Every error names its operation and, where there is one, the key, in one line.
func TestErrorTexts(t *testing.T) {
	ctx := t.Context()
	sessions := open(t, &store.Options{Limits: store.Limits{Keys: 2, ValueSize: 100}})
	s := create(t, sessions, userID.To("u"))
	const bad, long = store.Key[string]("a\x00"), store.Key[string]("long")
	huge := store.Key[string](strings.Repeat("schlüssel", 1<<17))
	large := strings.Repeat("x", 101)
	create := func(initial ...store.Change) error {
		_, err := sessions.Create(ctx, store.NewID(), initial...)
		return err
	}
	update := func(fn func(tx *store.Tx) error) error { return s.Update(ctx, fn) }
	for call, tt := range map[string]struct {
		err     error
		op, key string
		is      error
		text    string // part of it
	}{
		"Create, too large":        {create(long.To(large)), "create", "long", store.ErrTooLarge, "at most 100"},
		"Create, twice":            {create(userID.To("1"), userID.To("2")), "create", "userId", store.ErrInvalidKey, "twice"},
		"Create, invalid":          {create(userID.To("1"), bad.To("2")), "create", "a\x00", store.ErrInvalidKey, "byte 1"},
		"Create, too many":         {create(userID.To("1"), long.To("2"), logins.To(3)), "create", "", store.ErrTooManyKeys, "at most 2"},
		"Save, twice":              {store.Save(ctx, s, userID.To("1"), userID.Unset()), "save", "userId", store.ErrInvalidKey, "twice"},
		"Save, invalid":            {store.Save(ctx, s, userID.To("1"), bad.To("2")), "save", "a\x00", store.ErrInvalidKey, "byte 1"},
		"Save, too many":           {store.Save(ctx, s, long.To("1"), logins.To(2)), "save", "", store.ErrTooManyKeys, "at most 2"},
		"Load, invalid":            {store.Load(ctx, s, userID.Into(new(string)), bad.Into(new(string))), "load", "a\x00", store.ErrInvalidKey, "byte 1"},
		"Load, one invalid":        {store.Load(ctx, s, bad.Into(new(string))), "load", "a\x00", store.ErrInvalidKey, "byte 1"},
		"Update, invalid":          {update(func(tx *store.Tx) error { return bad.In(tx).Set("x") }), "update", "a\x00", store.ErrInvalidKey, "byte 1"},
		"Update, invalid read":     {update(func(tx *store.Tx) error { return second(bad.In(tx).Get()) }), "get", "a\x00", store.ErrInvalidKey, "byte 1"},
		"Update, too many":         {update(func(tx *store.Tx) error { return errors.Join(long.In(tx).Set("x"), logins.In(tx).Set(1)) }), "update", "", store.ErrTooManyKeys, "at most 2"},
		"Set, invalid":             {bad.Set(ctx, s, "x"), "set", "a\x00", store.ErrInvalidKey, "byte 1"},
		"Set, huge key":            {huge.Set(ctx, s, "x"), "set", string(huge), store.ErrInvalidKey, "at most 256"},
		"Get, huge key":            {second(huge.Get(ctx, s)), "get", string(huge), store.ErrInvalidKey, "at most 256"},
		"Save, huge key":           {store.Save(ctx, s, huge.To("x")), "save", string(huge), store.ErrInvalidKey, "at most 256"},
		"Create, huge key":         {create(huge.To("x")), "create", string(huge), store.ErrInvalidKey, "at most 256"},
		"Set, empty key":           {store.Key[string]("").Set(ctx, s, "x"), "set", "", store.ErrInvalidKey, "empty"},
		"Update of a key, nothing": {second(store.Key[*int]("p").Update(ctx, s, func(*int, bool) (*int, error) { return nil, nil })), "update", "p", store.ErrNilValue, "nil"},
	} {
		var e *store.Error
		if !errors.As(tt.err, &e) || e.Op != tt.op || e.Key != tt.key || !errors.Is(tt.err, tt.is) {
			if e != nil && len(e.Key) > 100 {
				e.Key = e.Key[:100] + "…"
			}
			t.Errorf("%s = %#v, want an *Error with Op %q, Key %.20q, %v", call, e, tt.op, tt.key, tt.is)
			continue
		}
		if text := tt.err.Error(); !strings.Contains(text, tt.text) || strings.Contains(text, "\n") || len(text) > 300 {
			t.Errorf("%s = %.400q, want one short line with %q", call, text, tt.text)
		}
	}
	if err := long.Set(ctx, s, "x"); err != nil {
		t.Fatal(err)
	}
	if err := logins.Set(ctx, s, 1); !errors.Is(err, store.ErrTooManyKeys) || !strings.Contains(err.Error(), "at most 2") {
		t.Errorf("Set() of one key too many = %v, want ErrTooManyKeys with the limit", err)
	}
}

func TestErrorTextIsOneLine(t *testing.T) {
	joined := errors.Join(store.ErrClosed, errors.New("a cause"), errors.New("with\nlines"))
	for _, err := range []*store.Error{{Op: "get", Err: joined}, {Op: "get", Key: "k\n", Err: joined}, {}} {
		if text := err.Error(); strings.Contains(text, "\n") {
			t.Errorf("(%#v).Error() = %q, want one line", err, text)
		}
	}
}
