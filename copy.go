package store

import (
	"maps"
	"reflect"
	"slices"
	"sync"
	"unsafe"
)

// A copier makes a shallow copy of a value of its type independent of the original. It replaces the
// slices, maps and pointers in it by copies.
type copier struct {
	possible bool // false: values hold what cannot be copied, such as interfaces
	steps    []copyStep
}

// A copyStep copies what lies at an offset in the value.
type copyStep struct {
	what   copyKind
	offset uintptr
	typ    reflect.Type
	elem   *copier // of the elements or of what is pointed to
	size   uintptr // of an element
}

type copyKind uint8

const (
	copyStrings copyKind = iota
	copyPlainSlice
	copySlice
	copyStringMap
	copyMap
	copyPointer
)

var copiers sync.Map // of reflect.Type to *copier

// copierOf returns the copier for t, or nil if values of t cannot be copied. One without steps is for types that share nothing
// when they are copied.
func copierOf(t reflect.Type) *copier {
	known, ok := copiers.Load(t)
	if !ok {
		c := &copier{possible: true}
		c.add(t, 0, nil)
		known, _ = copiers.LoadOrStore(t, c)
	}
	if c := known.(*copier); c.possible {
		return c
	}
	return nil
}

// add adds what is to be done for a t at the offset. It does not copy types that contain themselves: around are
// those that t lies behind.
func (c *copier) add(t reflect.Type, offset uintptr, around []reflect.Type) {
	if t == timeType {
		return // its *Location is never written through
	}
	inner := func(e reflect.Type) *copier {
		if slices.Contains(around, t) {
			c.possible = false
			return nil
		}
		elem := &copier{possible: true}
		elem.add(e, 0, append(around, t))
		c.possible = c.possible && elem.possible
		return elem
	}
	switch t.Kind() {
	case reflect.Struct:
		for f := range t.Fields() {
			before := len(c.steps)
			c.add(f.Type, offset+f.Offset, around)
			if len(c.steps) > before && !f.IsExported() && !f.Anonymous {
				c.possible = false // how it may be copied is for its package to say
			}
		}
	case reflect.Array:
		for i := range min(t.Len(), 8) {
			c.add(t.Elem(), offset+uintptr(i)*t.Elem().Size(), around)
		}
		if t.Len() > 8 && len(c.steps) > 0 {
			c.possible = false
		}
	case reflect.Slice:
		s := copyStep{what: copySlice, offset: offset, typ: t, elem: inner(t.Elem()), size: t.Elem().Size()}
		switch {
		case t.Elem() == reflect.TypeFor[string]():
			s.what = copyStrings
		case t.Elem().Kind() <= reflect.Complex128 && t.Elem().Kind() != reflect.Invalid:
			s.what = copyPlainSlice
		}
		c.steps = append(c.steps, s)
	case reflect.Map:
		s := copyStep{what: copyMap, offset: offset, typ: t, elem: inner(t.Elem())}
		if k := copierOf(t.Key()); k == nil || len(k.steps) > 0 {
			c.possible = false
		}
		if t.Key() == reflect.TypeFor[string]() && t.Elem() == reflect.TypeFor[string]() {
			s.what = copyStringMap
		}
		c.steps = append(c.steps, s)
	case reflect.Pointer:
		c.steps = append(c.steps, copyStep{what: copyPointer, offset: offset, typ: t, elem: inner(t.Elem())})
	case reflect.Interface, reflect.Chan, reflect.Func, reflect.UnsafePointer:
		c.possible = false
	}
}

// separate makes the value at p, a shallow copy, independent of the original. It does not keep p.
func (c *copier) separate(p unsafe.Pointer) {
	for i := range c.steps {
		s := &c.steps[i]
		q := unsafe.Add(p, s.offset)
		switch s.what {
		case copyStrings:
			list := (*[]string)(q)
			if *list != nil {
				*list = append(make([]string, 0, len(*list)), *list...)
			}
		case copyPlainSlice:
			list := (*struct {
				data     unsafe.Pointer
				len, cap int
			})(q)
			if list.data == nil {
				continue
			}
			size := uintptr(list.len) * s.size
			words := make([]uint64, size/8+1) // words, so that every element is aligned
			copy(unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), size), unsafe.Slice((*byte)(list.data), size))
			list.data, list.cap = unsafe.Pointer(&words[0]), list.len
		case copySlice:
			v := reflect.NewAt(s.typ, q).Elem()
			if v.IsNil() {
				continue
			}
			n := v.Len()
			fresh := reflect.MakeSlice(s.typ, n, n)
			reflect.Copy(fresh, v)
			v.Set(fresh)
			if len(s.elem.steps) > 0 && n > 0 {
				first := fresh.UnsafePointer()
				for i := range n {
					s.elem.separate(unsafe.Add(first, uintptr(i)*s.size))
				}
			}
		case copyStringMap:
			m := (*map[string]string)(q)
			*m = maps.Clone(*m)
		case copyMap:
			v := reflect.NewAt(s.typ, q).Elem()
			if v.IsNil() {
				continue
			}
			fresh := reflect.MakeMapWithSize(s.typ, v.Len())
			value := reflect.New(s.typ.Elem())
			for it := v.MapRange(); it.Next(); {
				value.Elem().Set(it.Value())
				s.elem.separate(value.UnsafePointer())
				fresh.SetMapIndex(it.Key(), value.Elem())
			}
			v.Set(fresh)
		case copyPointer:
			at := (*unsafe.Pointer)(q)
			if *at == nil {
				continue
			}
			fresh := reflect.New(s.typ.Elem())
			fresh.Elem().Set(reflect.NewAt(s.typ.Elem(), *at).Elem())
			s.elem.separate(fresh.UnsafePointer())
			*at = fresh.UnsafePointer()
		}
	}
}

// hide returns p and keeps the compiler from moving what p points to to the heap. The caller answers for that: nothing may
// keep the pointer. It is a number only between two instructions without a call, where stacks do not move.
func hide(p unsafe.Pointer) unsafe.Pointer {
	n := uintptr(p)
	return *(*unsafe.Pointer)(unsafe.Pointer(&n))
}
