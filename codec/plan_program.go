package codec

import (
	"encoding/binary"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"unsafe"
)

// A program is what Msgpack does with values of one Go type.
type program struct {
	root    *node
	refusal *refusal // not nil: the type cannot be stored
	direct  bool     // no method is called on memory within the value, so that it may live on a stack
	library bool     // strings refer to earlier ones, which only the library does
}

// programs are those of one type: without and with json tags.
type programs [2]atomic.Pointer[program]

// program returns the plan's program. jsonTags means that json tags count where there are no msgpack tags.
func (p *plan) program(jsonTags bool) *program {
	slot := &p.programs[0]
	if jsonTags {
		slot = &p.programs[1]
	}
	if prog := slot.Load(); prog != nil {
		return prog
	}
	return newProgram(slot, p.typ, jsonTags)
}

//go:noinline
func newProgram(slot *atomic.Pointer[program], t reflect.Type, jsonTags bool) *program {
	prog := compile(t, jsonTags)
	if !slot.CompareAndSwap(nil, prog) {
		prog = slot.Load()
	}
	return prog
}

func compile(t reflect.Type, jsonTags bool) *program {
	c := &compiler{nodes: map[reflect.Type]*node{}}
	if jsonTags {
		c.tag = "json"
	}
	p := &program{root: c.node(t)}
	for _, n := range c.nodes {
		if n.fields != nil {
			n.fields.finish()
		}
	}
	p.root.all(func(path string, n *node) {
		if r := n.refusal; r != nil && (p.refusal == nil || p.refusal.reads && !r.reads) {
			p.refusal = &refusal{path: path, why: r.why, reads: r.reads}
		}
		p.library = p.library || n.op == opStruct && n.fields.intern
	})
	p.direct = !p.library && p.refusal == nil && !p.root.hooksInline()
	return p
}

// finish copies what is known of a field's type only when all types are complete.
func (f *fields) finish() {
	for i := range f.list {
		f.list[i].finish()
	}
	for _, fd := range f.named {
		fd.finish()
	}
}

func (f *field) finish() {
	f.op = f.node.op
	if len(f.via) > 0 {
		f.op = opEmbedded
	}
	var words [16]byte
	if len(f.head) <= len(words) {
		copy(words[:], f.head)
		f.nameSize = uint8(len(f.head))
		f.nameMask = [2]uint64{^uint64(0), ^uint64(0)}
		if n := len(f.head); n < 8 {
			f.nameMask = [2]uint64{1<<(8*n) - 1, 0}
		} else {
			f.nameMask[1] = 1<<(8*(n-8)) - 1 // a shift by 64 leaves all of them
		}
		f.nameWords = [2]uint64{binary.LittleEndian.Uint64(words[:]), binary.LittleEndian.Uint64(words[8:])}
	}
}

// typeName names t in the paths of errors.
func typeName(t reflect.Type) string {
	if t.Name() != "" {
		return t.Name()
	}
	return shortType(t)
}

// shortType is t.String() up to a length that an error can bear.
func shortType(t reflect.Type) string {
	const most = 64
	if s := t.String(); len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return t.String()
}

func (r *refusal) error(t reflect.Type) *fault {
	return &fault{path: []string{r.path, typeName(t)}, why: r.why}
}

// A fault says where in a value and why it cannot be encoded or decoded. It does not hold data.
type fault struct {
	path []string // from the inside to the outside
	why  string
	err  error // of a method, or nil
}

func (f *fault) Error() string {
	if len(f.path) == 0 {
		return f.why
	}
	const outside, inside = 8, 4
	var text strings.Builder
	for i, step := range slices.Backward(f.path) {
		if i == inside && len(f.path) > outside+inside+1 {
			text.WriteString("…")
		}
		if i < inside || i >= len(f.path)-outside {
			text.WriteString(step)
		}
	}
	return text.String() + ": " + f.why
}

func (f *fault) Unwrap() error { return f.err }

// within adds a step to the path of err if it is a fault.
func within(err error, step string) error {
	if f, ok := err.(*fault); ok {
		f.path = append(f.path, step)
	}
	return err
}

// hide returns p and keeps the compiler from concluding that what p points to must live on the heap. The caller
// answers for that: nothing may keep the pointer.
//
// The pointer is a number only between two instructions without a call: there the garbage collector neither
// moves stacks nor overlooks it.
func hide(p unsafe.Pointer) unsafe.Pointer {
	n := uintptr(p)
	return *(*unsafe.Pointer)(unsafe.Pointer(&n))
}
