package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/memstore"
	"github.com/sessionkv/store/codec"
)

// garbage does not encode tokenClaims.
var garbage = []byte("\xa6secret")

// spoil puts garbage under tokenClaims.
func spoil(t *testing.T, s *store.Session) {
	t.Helper()
	if err := s.Store().Set(t.Context(), "tokenClaims", garbage); err != nil {
		t.Fatal(err)
	}
}

// Every operation follows the policy, be it that of the Sessions or of the key.
func TestUndecodable(t *testing.T) {
	type key interface {
		Get(context.Context, *store.Session) (tokenClaims, error)
		Lookup(context.Context, *store.Session) (tokenClaims, bool, error)
		GetOr(context.Context, *store.Session, tokenClaims) (tokenClaims, error)
		Has(context.Context, *store.Session) (bool, error)
		SetIfAbsent(context.Context, *store.Session, tokenClaims) (bool, error)
		Take(context.Context, *store.Session) (tokenClaims, error)
		Update(context.Context, *store.Session, func(tokenClaims, bool) (tokenClaims, error)) (tokenClaims, error)
		Into(*tokenClaims) store.Target
		IntoOr(*tokenClaims, tokenClaims) store.Target
		In(*store.Tx) store.TxValue[tokenClaims]
	}
	fallback, fresh := tokenClaims{Subject: "fallback"}, tokenClaims{Subject: "fresh"}
	lookup := func(v tokenClaims, ok bool, err error) (string, error) { return fmt.Sprint(v.Subject, " ", ok), err }
	name := func(v tokenClaims, err error) (string, error) { return v.Subject, err }
	// What an operation returns when the value fails to decode, and when it counts as absent;
	// what is stored afterwards, where Drop differs from Absent.
	ops := []struct {
		name         string
		do           func(ctx context.Context, s *store.Session, k key) (string, error)
		fail, absent error
		got          string
		writes       bool // absent: fresh is stored afterwards
		noValue      bool // does not load the value
	}{
		{
			name: "Get", fail: store.ErrDecode, absent: store.ErrNotFound,
			do: func(ctx context.Context, s *store.Session, k key) (string, error) { return name(k.Get(ctx, s)) },
		},
		{
			name: "Lookup", fail: store.ErrDecode, got: " false",
			do: func(ctx context.Context, s *store.Session, k key) (string, error) { return lookup(k.Lookup(ctx, s)) },
		},
		{
			name: "GetOr", fail: store.ErrDecode, got: "fallback",
			do: func(ctx context.Context, s *store.Session, k key) (string, error) {
				return name(k.GetOr(ctx, s, fallback))
			},
		},
		{
			name: "Into", fail: store.ErrDecode, absent: store.ErrNotFound,
			do: func(ctx context.Context, s *store.Session, k key) (string, error) {
				var id string
				var c tokenClaims
				return c.Subject, store.Load(ctx, s, userID.Into(&id), k.Into(&c))
			},
		},
		{
			name: "IntoOr", fail: store.ErrDecode, got: "fallback",
			do: func(ctx context.Context, s *store.Session, k key) (string, error) {
				var id string
				var c tokenClaims
				err := store.Load(ctx, s, userID.Into(&id), k.IntoOr(&c, fallback))
				return c.Subject, err
			},
		},
		{
			name: "Take", fail: store.ErrDecode, absent: store.ErrNotFound,
			do: func(ctx context.Context, s *store.Session, k key) (string, error) { return name(k.Take(ctx, s)) },
		},
		{
			name: "Update", fail: store.ErrDecode, got: "fresh", writes: true,
			do: func(ctx context.Context, s *store.Session, k key) (string, error) {
				return name(k.Update(ctx, s, func(old tokenClaims, ok bool) (tokenClaims, error) {
					if ok || old != (tokenClaims{}) {
						return old, fmt.Errorf("change(%v, %t), want the zero value and false", old, ok)
					}
					return fresh, nil
				}))
			},
		},
		{
			name: "SetIfAbsent", got: "true", writes: true, noValue: true,
			do: func(ctx context.Context, s *store.Session, k key) (string, error) {
				stored, err := k.SetIfAbsent(ctx, s, fresh)
				return fmt.Sprint(stored), err
			},
		},
		{
			name: "transaction", fail: store.ErrDecode, got: "fallback false",
			do: func(ctx context.Context, s *store.Session, k key) (got string, err error) {
				err = s.Update(ctx, func(tx *store.Tx) error {
					v, err := k.In(tx).GetOr(fallback)
					if err != nil {
						return err
					}
					has, err := k.In(tx).Has()
					got = fmt.Sprint(v.Subject, " ", has)
					return err
				})
				return got, err
			},
		},
		{
			name: "transaction that writes", fail: store.ErrDecode, got: "fresh", writes: true,
			do: func(ctx context.Context, s *store.Session, k key) (got string, err error) {
				return "fresh", s.Update(ctx, func(tx *store.Tx) error {
					if _, ok, err := k.In(tx).Lookup(); ok || err != nil {
						return err
					}
					return k.In(tx).Set(fresh)
				})
			},
		},
	}
	for _, u := range []store.Undecodable{store.Fail, store.Absent, store.Drop} {
		for _, perKey := range []bool{false, true} {
			for _, op := range ops {
				t.Run(fmt.Sprintf("%v/key=%t/%s", u, perKey, op.name), func(t *testing.T) {
					ctx := t.Context()
					var told []store.UndecodableValue
					opts := &store.Options{Undecodable: u, OnUndecodable: func(v store.UndecodableValue) { told = append(told, v) }}
					var k key = claims
					if perKey { // against the option
						opts.Undecodable = (u + 1) % 3
						k = claims.IfUndecodable(u)
					}
					s := create(t, open(t, opts), userID.To("u"))
					spoil(t, s)
					got, err := op.do(ctx, s, k)
					stored, errRaw := s.Store().Get(ctx, "tokenClaims")
					if errRaw != nil && !errors.Is(errRaw, store.ErrNotFound) {
						t.Fatal(errRaw)
					}
					reports := 1
					switch {
					case u == store.Fail:
						if op.noValue {
							reports = 0
							if got != "false" || err != nil {
								t.Errorf("got %q, %v, want false", got, err)
							}
						} else if !errors.Is(err, op.fail) {
							t.Errorf("got %q, %v, want %v", got, err, op.fail)
						}
						if !cmp.Equal(stored, garbage) {
							t.Errorf("stored afterwards is %q, want the bytes as they were", stored)
						}
					case op.absent != nil && !errors.Is(err, op.absent) || op.absent == nil && err != nil || got != op.got:
						t.Errorf("got %q, %v, want %q, %v", got, err, op.got, op.absent)
					case op.writes:
						if v, err := claims.Get(ctx, s); v != fresh || err != nil {
							t.Errorf("stored afterwards is %v, %v, want %v", v, err, fresh)
						}
					case u == store.Absent && !cmp.Equal(stored, garbage):
						t.Errorf("stored afterwards is %q, want the bytes as they were", stored)
					case u == store.Drop && stored != nil:
						t.Errorf("stored afterwards is %q, want nothing", stored)
					}
					if op.name == "transaction" && u == store.Absent {
						reports = 2 // GetOr and Has
					}
					if len(told) != reports {
						t.Fatalf("OnUndecodable was told %d times, want %d", len(told), reports)
					}
					for _, v := range told {
						if v.Session != s || v.Key != "tokenClaims" || v.Done != u || !errors.Is(v.Err, store.ErrDecode) || strings.Contains(v.Err.Error(), "secret") {
							t.Errorf("OnUndecodable was told %v %q %v %v, want the session, key, ErrDecode without the value, %v", v.Session, v.Key, v.Err, v.Done, u)
						}
					}
				})
			}
		}
	}
}

// Nothing but the very bytes that did not decode is removed or replaced.
func TestUndecodableSparesALaterWrite(t *testing.T) {
	for _, u := range []store.Undecodable{store.Absent, store.Drop} {
		for name, do := range map[string]func(ctx context.Context, s *store.Session) error{
			"GetOr": func(ctx context.Context, s *store.Session) error {
				return second(claims.GetOr(ctx, s, tokenClaims{}))
			},
			"Take": func(ctx context.Context, s *store.Session) error {
				if _, err := claims.Take(ctx, s); !errors.Is(err, store.ErrNotFound) {
					return fmt.Errorf("Take() = %w, want ErrNotFound", err)
				}
				return nil
			},
			"Update": func(ctx context.Context, s *store.Session) error {
				return second(claims.Update(ctx, s, func(old tokenClaims, ok bool) (tokenClaims, error) { return old, nil }))
			},
			"SetIfAbsent": func(ctx context.Context, s *store.Session) error {
				if stored, err := claims.SetIfAbsent(ctx, s, tokenClaims{}); stored || err != nil {
					return fmt.Errorf("SetIfAbsent() = %t, %w, want false", stored, err)
				}
				return nil
			},
			"transaction": func(ctx context.Context, s *store.Session) error {
				return s.Update(ctx, func(tx *store.Tx) error {
					v, err := claims.In(tx).GetOr(tokenClaims{})
					if err != nil || v == (tokenClaims{}) {
						return err
					}
					return claims.In(tx).Set(v)
				})
			},
		} {
			t.Run(fmt.Sprintf("%v/%s", u, name), func(t *testing.T) {
				ctx := t.Context()
				var s *store.Session
				reports := 0
				s = create(t, open(t, &store.Options{Undecodable: u, OnUndecodable: func(store.UndecodableValue) {
					// Between the read and the write of the operation.
					if reports++; reports == 1 {
						if err := claims.Set(ctx, s, sampleClaims); err != nil {
							t.Error(err)
						}
					}
				}}))
				spoil(t, s)
				if err := do(ctx, s); err != nil || reports != 1 {
					t.Errorf("%v with %d reports, want nil with 1", err, reports)
				}
				if got, err := claims.Get(ctx, s); got != sampleClaims || err != nil {
					t.Errorf("Get() afterwards = %v, %v, want %v, which was written in between", got, err, sampleClaims)
				}
			})
		}
	}
}

// Drop does not remove what a newer program wrote, nor what a program reads wrongly.
func TestDropSparesNewerValuesAndMistakes(t *testing.T) {
	ctx := t.Context()
	var told []store.UndecodableValue
	s := create(t, open(t, &store.Options{Undecodable: store.Drop, OnUndecodable: func(v store.UndecodableValue) { told = append(told, v) }}))
	if err := claims.With(codec.Versioned(codec.Msgpack, 2)).Set(ctx, s, sampleClaims); err != nil {
		t.Fatal(err)
	}
	_, ok, err := claims.With(codec.Versioned(codec.Msgpack, 1)).Lookup(ctx, s)
	if ok || err != nil || len(told) != 1 || !errors.Is(told[0].Err, store.ErrNewer) || !errors.Is(told[0].Err, store.ErrDecode) {
		t.Errorf("Lookup() of a newer version = %t, %v with reports %v, want false with one of ErrNewer and ErrDecode", ok, err, told)
	}
	_, err = claims.With(codec.Versioned(codec.Msgpack, 1)).IfUndecodable(store.Fail).Get(ctx, s)
	wantErr(t, "Get() of a newer version", err, store.ErrNewer)
	wantErr(t, "Get() of a newer version", err, store.ErrDecode)
	for name, c := range map[string]codec.Codec{
		"raw for a struct":  codec.Raw,
		"a codec misused":   codec.Versioned(codec.Raw, 1),
		"a version misused": codec.Versioned(codec.Msgpack, 2, codec.From(1, func(int) (int, error) { return 0, nil })),
	} {
		_, err := claims.With(c).Get(ctx, s)
		wantErr(t, name+": Get()", err, store.ErrDecode)
	}
	if got, err := claims.With(codec.Versioned(codec.Msgpack, 2)).Get(ctx, s); got != sampleClaims || err != nil {
		t.Errorf("Get() by the newer program = %v, %v, want %v", got, err, sampleClaims)
	}
}

func TestUndecodableFollowsSealing(t *testing.T) {
	ctx := t.Context()
	s := create(t, open(t, &store.Options{Sealer: keyRing(t, sealingKey(1)), Undecodable: store.Drop}))
	spoil(t, s)
	_, err := claims.IfUndecodable(store.Fail).Get(ctx, s)
	wantErr(t, "Get() of what is not sealed", err, store.ErrSealed)
	if got, err := claims.GetOr(ctx, s, sampleClaims); got != sampleClaims || err != nil {
		t.Errorf("GetOr() of what is not sealed = %v, %v, want the fallback", got, err)
	}
	if ok, err := claims.Has(ctx, s); ok || err != nil {
		t.Errorf("Has() after Drop = %t, %v, want false", ok, err)
	}
	// A failure of the sealer's own says nothing of the value.
	s = create(t, open(t, &store.Options{Sealer: outOfReach{}, Undecodable: store.Drop}))
	spoil(t, s)
	_, err = claims.GetOr(ctx, s, sampleClaims)
	wantErr(t, "GetOr() without the sealer's keys", err, errOutOfReach)
	if ok, err := claims.Has(ctx, s); !ok || err != nil {
		t.Errorf("Has() afterwards = %t, %v, want true", ok, err)
	}
}

var errOutOfReach = errors.New("the key service is out of reach")

type outOfReach struct{}

func (outOfReach) Seal(_, _, _ []byte) ([]byte, error) { return nil, errOutOfReach }
func (outOfReach) Open(_, _, _ []byte) ([]byte, error) { return nil, errOutOfReach }

// Without conditional writes Drop is Absent.
func TestDropWithoutAbilities(t *testing.T) {
	ctx := t.Context()
	sessions := newSessions(t, bareBackend{openMemory(t)}, &store.Options{Undecodable: store.Drop})
	defer sessions.Close(ctx)
	s := create(t, sessions)
	spoil(t, s)
	if got, err := claims.GetOr(ctx, s, sampleClaims); got != sampleClaims || err != nil {
		t.Errorf("GetOr() = %v, %v, want the fallback", got, err)
	}
}

func TestUndecodableIsChecked(t *testing.T) {
	if _, err := store.New(openMemory(t), &store.Options{Undecodable: 9}); err == nil || !strings.Contains(err.Error(), "Undecodable(9)") {
		t.Errorf("New(Undecodable: 9) = %v, want an error that names it", err)
	}
}

func openMemory(t *testing.T) store.Backend {
	t.Helper()
	b := memstore.New(nil)
	t.Cleanup(func() { b.Close() })
	return b
}
