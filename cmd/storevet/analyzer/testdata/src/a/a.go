package a // want package:"[0-9]+ keys"

import (
	"context"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/codec"
)

type good struct {
	Name  string
	Rooms []string
	At    time.Time
	Any   any
	Skip  chan int `msgpack:"-"`
	note  string   `msgpack:"-"`
}

type opaque struct{ name string }

type half struct {
	Name string
	age  int
}

type tree struct{ Children []tree }

type text struct{ v int }

func (text) MarshalText() ([]byte, error) { return nil, nil }
func (*text) UnmarshalText([]byte) error  { return nil }

const (
	User   = store.Key[string]("userId")
	Good   = store.Key[good]("good")
	Text   = store.Key[text]("text")
	Again  = store.Key[string]("userId")
	Number = store.Key[int]("userId") // want `key "userId" has type int here and type string at example.com/vetted/a, a.go:\d+`

	Empty                  = store.Key[int]("")     // want `invalid key: it is empty`
	Control                = store.Key[int]("a\nb") // want `control character at byte 1`
	Typed   store.Key[int] = "\xff"                 // want `not valid UTF-8`

	Chan   = store.Key[chan int]("chan")        // want `a chan cannot be stored`
	Func   = store.Key[[]func()]("func")        // want `a func cannot be stored \(at \[\]\)`
	Ptr    = store.Key[map[string]uintptr]("p") // want `a uintptr cannot be stored`
	Opaque = store.Key[opaque]("opaque")        // want `type opaque has no exported fields`
	Half   = store.Key[*half]("half")           // want `field age of type half is not exported`
	Tree   = store.Key[tree]("tree")            // want `type tree contains itself \(at Children\[\]\)`
	Err    = store.Key[error]("err")            // want `interface error cannot be read back`
)

var (
	Own   = store.Key[opaque]("own").With(mine{})
	JSON  = store.Key[int]("json").With(codec.JSON)
	Other = store.Key[int]("json").With(codec.Msgpack) // want `key "json" is encoded by github.com/sessionkv/store/codec.Msgpack here and by github.com/sessionkv/store/codec.JSON at`
)

type mine struct{ codec.Codec }

func variable(name string) store.Key[int] {
	return store.Key[int](name) // want `a key is made from a string that is not constant`
}

func helper[T any](k store.Key[T]) store.Key[T] { return k }

var kept store.TxValue[int]

const Count = store.Key[int]("count")

func transactions(ctx context.Context, s *store.Session, out chan *store.Tx) error {
	var outer *store.Tx
	var later func()
	return s.Update(ctx, func(tx *store.Tx) error {
		outer = tx                               // want `the transaction leaves its function: it is kept in outer`
		kept = Count.In(tx)                      // want `kept in kept`
		later = func() { Count.In(tx).Delete() } // want `kept in later`
		out <- tx                                // want `is sent on a channel`
		go func() { Count.In(tx).Delete() }()    // want `used in another goroutine`
		inner := tx
		n := Count.In(inner)
		n.Set(1)
		func() { Count.In(tx).Delete() }()
		_, _ = outer, later
		return nil
	})
}

type holder struct{ tx *store.Tx }

func (h *holder) keep(tx *store.Tx) error {
	h.tx = tx // want `kept in h.tx`
	local := holder{}
	local.tx = tx
	return nil
}

func deferred(ctx context.Context, s *store.Session) {
	defer s.Destroy(ctx)                  // want `deferred Destroy ends the session also when the process shuts down`
	defer func() { _ = s.Destroy(ctx) }() // want `deferred Destroy`
	defer s.Release(ctx)
	s.Destroy(ctx)
}
