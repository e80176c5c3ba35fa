package loud // want package:"[0-9]+ keys"

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/codec"
)

type (
	stringKey = store.Key[string]

	writesOnly struct{ n int }
	stamped    struct {
		time.Time
		Note string
	}
	deep struct {
		In []map[string]*struct{ Ch chan int }
	}
	half[T any] struct {
		Value T
		lost  int
	}
	tuple struct{ P *int }
)

func (writesOnly) MarshalText() ([]byte, error) { return nil, nil }

const (
	Name   = stringKey("loud")
	Joined = store.Key[int]("lo" + "ud") // want `key "loud" has type int here and type string`

	Writes  = store.Key[[]writesOnly]("writes") // want `type writesOnly has methods that encode but none that decode \(at \[\]\)`
	Stamped = store.Key[*stamped]("stamped")    // want `type stamped is encoded by the methods of its embedded field Time: field Note would not be stored`
	Deep    = store.Key[deep]("deep")           // want `a chan cannot be stored \(at In\[\]\[\].Ch\)`
	Half    = store.Key[half[int]]("half")      // want `field lost of type half is not exported`
	Keys    = store.Key[map[*int]bool]("keys")  // want `keys of a map that are or hold pointers`
	Tuples  = store.Key[map[tuple]bool]("tup")  // want `keys of a map that are or hold pointers`
)

var (
	Strict = store.Key[chan int]("strict").With(codec.MsgpackStrict) // want `a chan cannot be stored`
	fields = struct{ Key store.Key[bool] }{"loud"}                   // want `key "loud" has type bool here and type string`
)

type holder[T any] struct{ key store.Key[T] }

var held = holder[float64]{key: "loud"} // want `key "loud" has type float64 here and type string`

func name(user string) error {
	k := store.Key[int](fmt.Sprintf("user %s", user)) // want `a key is made from a string that is not constant`
	_ = k
	return nil
}

func transaction(ctx context.Context, s *store.Session) error {
	var group sync.WaitGroup
	var kept atomic.Pointer[store.Tx]
	var all sync.Map
	seen := map[string]*store.Tx{}
	return s.Update(ctx, func(tx *store.Tx) error {
		group.Go(func() { Name.In(tx).Delete() }) // want `used in another goroutine`
		kept.Store(tx)                            // want `is kept in kept`
		all.Store("tx", Name.In(tx))              // want `is kept in all`
		seen["tx"] = tx                           // want `is kept in seen`
		return nil
	})
}

func deferred(ctx context.Context, s *store.Session) {
	defer func() {
		if err := s.Destroy(ctx); err != nil { // want `deferred Destroy`
			fmt.Println(err)
		}
	}()
}
