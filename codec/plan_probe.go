package codec

import (
	"bytes"
	"reflect"
	"sync"
	"time"

	"github.com/sessionkv/store/internal/scalar"
	"github.com/vmihailenco/msgpack/v5"
)

// The library keeps to itself for which types functions were registered with it. What follows finds out
// by trying, once for each type, without calling functions for values within the type.

// plain reports whether the library takes the struct type t apart field by field, in both
// directions.
func (c *compiler) plain(t reflect.Type) bool {
	if t.Name() == "" {
		return true // nobody registers functions for a type without a name
	}
	return !registered(t)
}

// registered reports whether functions for the struct type t, which has no methods for encoding, were registered with the library. It
// embeds a nil *t in a struct. If the library takes t apart, it writes the fields of t as those of the outer struct. If not, it
// writes a single nil under the name of the embedded field.
func registered(t reflect.Type) bool {
	const name = "registered?"
	err := guard(func() error {
		outer := reflect.StructOf([]reflect.StructField{{
			Name: "X", Type: reflect.PointerTo(t), Anonymous: true, Tag: `msgpack:"` + name + `"`,
		}})
		b, err := msgpack.Marshal(reflect.New(outer).Interface())
		if err != nil {
			return err
		}
		if bytes.Contains(b, []byte(name)) {
			return errRegistered
		}
		return nil
	})
	return err != nil
}

var errRegistered = &panicError{"registered"}

// unlessRegistered turns the node of a named slice or map into one for the library, if that has bytes
// of its own for nil and for an empty value.
func (n *node) unlessRegistered(null, empty, emptyBytes string) {
	if n.typ.Name() == "" {
		return
	}
	if n.op == opBytes {
		empty = emptyBytes
	}
	v := reflect.New(n.typ)
	same := func(want string) bool {
		var b []byte
		err := guard(func() (err error) {
			b, err = msgpack.Marshal(v.Interface())
			return err
		})
		back := reflect.New(n.typ)
		return err == nil && string(b) == want &&
			guard(func() error { return msgpack.Unmarshal(b, back.Interface()) }) == nil && reflect.DeepEqual(v.Interface(), back.Interface())
	}
	if !same(null) {
		n.op = opLibrary
		return
	}
	if n.typ.Kind() == reflect.Map {
		v.Elem().Set(reflect.MakeMap(n.typ))
	} else {
		v.Elem().Set(reflect.MakeSlice(n.typ, 0, 0))
	}
	if !same(empty) {
		n.op = opLibrary
	}
}

// sameMethodsInLibrary reports whether the library encodes the zero value of n's type with the method that n names,
// or fails as that does.
func sameMethodsInLibrary(n *node) bool {
	v := reflect.New(n.typ)
	var theirs []byte
	theirErr := guard(func() (err error) {
		theirs, err = msgpack.Marshal(v.Interface())
		return err
	})
	// Which of the two the library writes for nil behind a pointer depends on what it met before.
	for _, pointer := range []bool{true, false} {
		ours, err := appendMarshaler(nil, n, v.UnsafePointer(), pointer)
		if (err != nil) == (theirErr != nil) && (err != nil || bytes.Equal(ours, theirs)) {
			return true
		}
	}
	return false
}

// sameTimeInLibrary reports whether the library writes a time in a struct as this package does. A program may
// have registered functions of its own for time.Time.
var sameTimeInLibrary = sync.OnceValue(func() bool {
	at := time.Unix(1767225600, 5)
	b, err := msgpack.Marshal(&at)
	return err == nil && bytes.Equal(b, scalar.AppendTime(nil, at))
})
