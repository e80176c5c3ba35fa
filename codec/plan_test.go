package codec

import (
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"
)

func TestTypesThatCannotComeBack(t *testing.T) {
	for _, tt := range []struct {
		v    any
		want []string
	}{
		{new(chan int), []string{"chan int"}},
		{new(uintptr), []string{"uintptr"}},
		{new(complex128), []string{"complex128"}},
		{new(unsafe.Pointer), []string{"unsafe.Pointer"}},
		{new(struct{ A, Conn func() }), []string{".A", "func()"}},
		{new(struct{ List []struct{ Ch chan string } }), []string{".List[].Ch", "chan string"}},
		{new(struct{ M map[string]*uintptr }), []string{".M[]", "uintptr"}},
		{new(reflect.Value), []string{"flag"}},
		{new(struct{ V reflect.Value }), []string{".V", "flag"}},
		{new(struct{ Lock sync.Mutex }), []string{".Lock", "sync.Mutex"}},
		{new(embedsItselfThrough), []string{"embeds itself"}},
		{new(struct {
			A int `msgpack:"x"`
			B int `msgpack:"x"`
		}), []string{"A", "B", `"x"`}},
		{new(map[struct{ K any }]int), []string{"keys", "interfaces"}},
	} {
		typ := reflect.TypeOf(tt.v).Elem()
		b, err := Msgpack.Append([]byte("dst"), tt.v)
		checked := CheckType(Msgpack, typ)
		if err == nil || string(b) != "dst" || checked == nil || checked.Error() != err.Error() {
			t.Errorf("Append(%v) = %q, %v and CheckType = %v, want dst and one error", typ, b, err, checked)
			continue
		}
		for _, part := range tt.want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("Append(%v): %v, want %q in it", typ, err, part)
			}
		}
	}
	for _, v := range []any{new(claims), new(recursive), new(any), new(time.Time), new([]map[string][]int), new(struct{ sync.Mutex })} {
		if err := CheckType(Msgpack, reflect.TypeOf(v).Elem()); err != nil {
			t.Errorf("CheckType(%T): %v, want nil", v, err)
		}
	}
}

type embedsItselfThrough struct{ *embedsItselfThrough }

var _ = embedsItselfThrough{}.embedsItselfThrough

type pointerToItself *pointerToItself

func TestValuesThatContainThemselvesAreRefused(t *testing.T) {
	node := &recursive{Name: "x"}
	node.Next = node
	list := []any{nil}
	list[0] = list
	m := map[string]any{}
	m["m"] = m
	var x any
	x = &x
	var p pointerToItself
	p = &p
	all := recursive{All: make([]recursive, 1)}
	all.All[0] = all
	all.All[0].All = all.All
	for name, v := range map[string]any{"pointer": &node, "slice": &list, "map": &m, "interface": &x, "pointer to itself": &p, "slice of structs": &all} {
		b, err := Msgpack.Append([]byte("dst"), v)
		if err == nil || string(b) != "dst" || !strings.Contains(err.Error(), "contains itself") || len(err.Error()) > 500 {
			t.Errorf("%s: Append = %d bytes, %v, want a short error", name, len(b), err)
		}
	}
}

func TestErrorsNameThePath(t *testing.T) {
	type inner struct {
		Exp  int8 `msgpack:"exp"`
		Tags map[string]float32
		When *time.Time
	}
	type outer struct {
		In   inner
		List []inner
	}
	for _, tt := range []struct{ data, want string }{
		{"\x81\xa2In\x81\xa3exp\xcd\x01\x2c", "outer.In.exp: found 300, does not fit int8"},
		{"\x81\xa4List\x92\x81\xa3exp\x01\x81\xa3exp\xa1x", "outer.List[1].exp: found a string, which is no int8"},
		{"\x81\xa2In\x81\xa4Tags\x81\xa6s3cret\xa1x", "outer.In.Tags[]: found a string, which is no float32"},
		{"\x81\xa2In\x81\xa4When\xcb\x00\x00\x00\x00\x00\x00\x00\x00", "outer.In.When: found a float, which is no time.Time"},
		{"\x81\xa2In\x81\xa4Zexp\x01", "outer.In: found a map without any field of codec.inner"},
		{"\x81\xa2In\x81\xa3exp", "outer.In.exp: found nothing"},
	} {
		_, err := Decode[outer](Msgpack, []byte(tt.data))
		if err == nil || !strings.HasSuffix(err.Error(), ": "+tt.want) {
			t.Errorf("Decode(%q): %v, want …: %s", tt.data, err, tt.want)
		}
	}
}
