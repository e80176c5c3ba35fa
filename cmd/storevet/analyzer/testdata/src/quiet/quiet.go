package quiet // want package:"[0-9]+ keys"

import (
	"context"
	"encoding/json"
	"fmt"
	"math/big"
	"net/netip"
	"sync"
	"time"

	st "github.com/sessionkv/store"
	. "github.com/sessionkv/store/codec"

	"example.com/vetted/b"
)

// Names for one type.
type (
	alias  = record
	record struct {
		Any   any
		Bytes []byte
	}
	tenantKey      = st.Key[string]
	pair[A, B any] struct {
		First  A
		Second B
	}
	names = []string
)

const (
	Alias  = st.Key[alias]("record")
	Record = st.Key[record]("record")

	Bytes = st.Key[[]byte]("bytes")
	Uint8 = st.Key[[]uint8]("bytes")

	Any       = st.Key[map[string]any]("any")
	Interface = st.Key[map[string]interface{}]("any")

	Pair  = st.Key[pair[byte, []alias]]("pair")
	Pair2 = st.Key[pair[uint8, []record]]("pair")

	List  = st.Key[names]("names")
	List2 = st.Key[[]string]("names")

	Struct  = st.Key[struct{ A any }]("struct")
	Struct2 = st.Key[struct{ A interface{} }]("struct")

	// The same as in package b.
	Tenant           = tenantKey("tenant")
	prefix           = "ten"
	Joined           = st.Key[string](prefix + "ant")
	Typed  tenantKey = "tenant"
)

// Generic code knows neither names nor types.
func load[T any](ctx context.Context, s *st.Session, k st.Key[T]) (T, error) { return k.Get(ctx, s) }

func wrapped[T fmt.Stringer](ctx context.Context, s *st.Session, v T) error {
	return st.Key[struct{ V T }]("wrapped").Set(ctx, s, struct{ V T }{v})
}

func listed[T any](ctx context.Context, s *st.Session, v map[string][]T) error {
	return st.Key[map[string][]T]("listed").Set(ctx, s, v)
}

func typed[T any](name string) st.Key[T] { return cached[T]{}.key }

type cached[T any] struct {
	key  st.Key[T]
	keys map[st.Key[T]]string
}

var (
	ints   = cached[int]{key: "cachedInt", keys: map[st.Key[int]]string{"cachedInt": "x"}}
	fields = struct{ A, B st.Key[int] }{"fieldA", "fieldB"}
	Own    = st.Key[big.Int]("ownCodec").With(own)
	own    = Versioned(JSON, 1)
)

// Types that take care of themselves.
type (
	both struct{ n int }
	// money has methods of its own beside those of the embedded type.
	money struct {
		big.Int
		Currency string
	}
	stamp struct {
		time.Time
		note string `msgpack:"-" json:"-"`
	}
)

func (both) MarshalText() ([]byte, error)     { return nil, nil }
func (*both) UnmarshalText([]byte) error      { return nil }
func (money) MarshalText() ([]byte, error)    { return nil, nil }
func (money) MarshalJSON() ([]byte, error)    { return nil, nil }
func (money) MarshalBinary() ([]byte, error)  { return nil, nil }
func (*money) UnmarshalText([]byte) error     { return nil }
func (*money) UnmarshalJSON(b []byte) error   { return json.Unmarshal(b, new(string)) }
func (*money) UnmarshalBinary(b []byte) error { return nil }

const (
	Both  = st.Key[both]("both")
	Money = st.Key[*money]("money")
	Stamp = st.Key[stamp]("stamp")
	Addr  = st.Key[map[netip.Addr]time.Time]("addr")
	Array = st.Key[map[[2]int]struct{ A int }]("array")
)

func transaction(ctx context.Context, s *st.Session) error {
	return s.Update(ctx, func(tx *st.Tx) error {
		n := ints.key.In(tx)
		v, err := n.GetOr(0)
		if err != nil {
			return err
		}
		values := map[string]st.TxValue[int]{"n": n}
		var once sync.Once
		once.Do(func() { err = n.Set(v + 1) })
		for _, v := range values {
			if _, err := v.Get(); err != nil {
				return err
			}
		}
		return helper(tx, fields.A)
	})
}

func helper(tx *st.Tx, k st.Key[int]) error { return k.In(tx).Set(1) }

func ends(ctx context.Context, s *st.Session, wrong bool) error {
	defer func() {
		if wrong {
			_ = s.Destroy(ctx)
		}
	}()
	defer func() {
		switch {
		case wrong:
			_ = s.Destroy(ctx)
		}
	}()
	_, _ = load(ctx, s, b.Tenant)
	return s.Destroy(ctx)
}
