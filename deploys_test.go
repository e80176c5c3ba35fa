package store_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/codec"
)

// Shapes of one value through three deploys.
type (
	visitorV0 struct{ Name string }
	visitorV1 struct{ First, Last string }
	visitor   struct {
		First, Last string
		Visits      int
	}
)

var errHalfway = errors.New("s3cret: no last name")

func visitorUpgrades(failAt *atomic.Int64) []codec.Upgrade {
	return []codec.Upgrade{
		codec.From(0, func(p visitorV0) (visitorV1, error) {
			first, last, _ := strings.Cut(p.Name, " ")
			return visitorV1{first, last}, nil
		}),
		codec.From(1, func(p visitorV1) (visitor, error) {
			if failAt != nil && failAt.Load() > 0 || p.Last == "" {
				return visitor{}, errHalfway
			}
			return visitor{First: p.First, Last: p.Last}, nil
		}),
	}
}

// A value whose upgrades fail in the second step does not decode, for every policy, sealed or not, and
// what is stored stays as it was or goes as a whole.
func TestUpgradeThatFailsHalfway(t *testing.T) {
	for _, sealed := range []bool{false, true} {
		for _, inner := range []codec.Codec{codec.Msgpack, codec.JSON} {
			for _, do := range []store.Undecodable{store.Fail, store.Absent, store.Drop} {
				t.Run(fmt.Sprintf("%s/sealed=%t/%v", inner.Name(), sealed, do), func(t *testing.T) {
					ctx := t.Context()
					opts := &store.Options{Codec: inner}
					if sealed {
						opts.Sealer = keyRing(t, sealingKey(1))
					}
					var told []store.UndecodableValue
					opts.OnUndecodable = func(v store.UndecodableValue) { told = append(told, v) }
					s := create(t, open(t, opts))
					old := store.Key[visitorV0]("profile")
					key := store.Key[visitor]("profile").With(codec.Versioned(inner, 2, visitorUpgrades(nil)...)).IfUndecodable(do)
					if err := old.Set(ctx, s, visitorV0{"Ada"}); err != nil {
						t.Fatal(err)
					}
					before, err := s.Store().Get(ctx, "profile")
					if err != nil {
						t.Fatal(err)
					}
					got, ok, err := key.Lookup(ctx, s)
					if do == store.Fail {
						wantErr(t, "Lookup()", err, store.ErrDecode)
						wantErr(t, "Lookup()", err, errHalfway)
						if strings.Contains(err.Error(), "s3cret") {
							t.Errorf("Lookup() = %v, which quotes the function's error", err)
						}
					} else if ok || err != nil {
						t.Errorf("Lookup() = %v, %t, %v, want no value", got, ok, err)
					}
					after, err := s.Store().Get(ctx, "profile")
					if do == store.Drop {
						wantErr(t, "Get() of what was dropped", err, store.ErrNotFound)
					} else if string(after) != string(before) || err != nil {
						t.Errorf("stored is %x, %v, want %x as before", after, err, before)
					}
					if len(told) != 1 || !errors.Is(told[0].Err, errHalfway) || told[0].Done != do {
						t.Errorf("the hook was told %v, want one failure and %v", told, do)
					}
					// The next write makes it a value again, of the newest version.
					if do == store.Fail {
						return
					}
					want := visitor{"Ada", "Lovelace", 1}
					if v, err := key.Update(ctx, s, func(p visitor, ok bool) (visitor, error) { return want, nil }); v != want || err != nil {
						t.Fatalf("Update() = %v, %v, want %v", v, err, want)
					}
					if v, err := key.Get(ctx, s); v != want || err != nil {
						t.Errorf("Get() = %v, %v, want %v", v, err, want)
					}
				})
			}
		}
	}
}

// Values that do not decode count as absent for updates of many goroutines: each update is counted once, whichever
// of them takes the place of the bytes.
func TestUpdatesRaceForAnUndecodableValue(t *testing.T) {
	for _, do := range []store.Undecodable{store.Absent, store.Drop} {
		for _, sealed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v/sealed=%t", do, sealed), func(t *testing.T) {
				ctx := t.Context()
				opts := &store.Options{Undecodable: do}
				if sealed {
					opts.Sealer = keyRing(t, sealingKey(1))
				}
				s := create(t, open(t, opts))
				key := store.Key[visitor]("profile").With(codec.Versioned(codec.JSON, 2, visitorUpgrades(nil)...))
				for range 20 {
					if err := s.Store().Set(ctx, "profile", []byte("\xc1\x01\x01{")); err != nil {
						t.Fatal(err)
					}
					const each = 10
					var wg sync.WaitGroup
					for i := range 6 {
						wg.Go(func() {
							for range each {
								switch {
								case i < 4:
									_, err := key.Update(ctx, s, func(p visitor, ok bool) (visitor, error) {
										if !ok && p != (visitor{}) {
											return p, fmt.Errorf("change(%v, false), want the zero value", p)
										}
										p.Visits++
										return p, nil
									})
									if err != nil {
										t.Error(err)
									}
								case i == 4: // readers must not drop what was written meanwhile
									if _, err := key.GetOr(ctx, s, visitor{}); err != nil {
										t.Error(err)
									}
								default:
									err := s.Update(ctx, func(tx *store.Tx) error {
										p, err := key.In(tx).GetOr(visitor{})
										if err != nil {
											return err
										}
										p.Visits++
										return key.In(tx).Set(p)
									})
									if err != nil {
										t.Error(err)
									}
								}
							}
						})
					}
					wg.Wait()
					if p, err := key.Get(ctx, s); p.Visits != 5*each || err != nil {
						t.Fatalf("Get() = %+v, %v, want %d visits", p, err, 5*each)
					}
				}
			})
		}
	}
}

// Bytes that begin like a mark, or like what two marks around each other would be, are told apart or refused; none
// is taken for another value.
func TestMarksAreNotMistaken(t *testing.T) {
	ctx := t.Context()
	s := create(t, open(t, nil))
	versioned := codec.Versioned(codec.Msgpack, 1, codec.From(0, func(s string) (string, error) { return "upgraded " + s, nil }))
	change := codec.DuringChange(codec.Msgpack, codec.JSON)
	both := codec.Versioned(change, 1, codec.From(0, func(s string) (string, error) { return "upgraded " + s, nil }))
	around := codec.DuringChange(versioned, codec.JSON)
	for name, c := range map[string]codec.Codec{"versioned": versioned, "change": change, "versioned change": both, "change of versioned": around} {
		key := store.Key[string]("text").With(c)
		for _, text := range []string{"", "x", "\u00c1\x01\x01", "\x01\x01", strings.Repeat("x", 300)} {
			if err := key.Set(ctx, s, text); err != nil {
				t.Fatalf("%s: Set(%q) = %v", name, text, err)
			}
			if got, err := key.Get(ctx, s); got != text || err != nil {
				t.Errorf("%s: Get() = %q, %v, want %q", name, got, err, text)
			}
			// No program from before the mark takes it for a value.
			for _, plain := range []codec.Codec{codec.Msgpack, codec.JSON} {
				if got, err := store.Key[string]("text").With(plain).Get(ctx, s); err == nil {
					t.Errorf("%s: %s reads %q without the mark", name, plain.Name(), got)
				}
				if got, err := store.Key[any]("text").With(plain).Get(ctx, s); err == nil {
					t.Errorf("%s: %s reads %v without the mark", name, plain.Name(), got)
				}
			}
		}
		for _, broken := range []string{"\xc1", "\xc1\x00", "\xc1\x01", "\xc1\x01\x00\xa1x", "\xc1\x01\x81\x00\xa1x", "\xc1\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\xa1x", "\xc1\x02", "\xc1\x02\x00", "\xc1\x02\x05json", "\xc1\x02\x04jsom\"x\"", "\xc1\x03\xa1x", "\xc1\xc1\x01\x01\xa1x", "\xc1\x01\x01", "\xc1\x01\x01\xc1\x01\x01\xa1x"} {
			if err := s.Store().Set(ctx, "text", []byte(broken)); err != nil {
				t.Fatal(err)
			}
			if got, err := key.Get(ctx, s); !errors.Is(err, store.ErrDecode) {
				t.Errorf("%s: Get() of %q = %q, %v, want ErrDecode", name, broken, got, err)
			}
		}
	}
}
