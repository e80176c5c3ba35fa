package systemtest

import (
	"fmt"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// The model: what one session ID may do, seen from outside.

// keyCount is how many keys a session of a checked history has.
const keyCount = 3

// A state is all that can be observed of one session ID. Which life a handle
// belongs to does not matter, only whether that life goes on.
type state struct {
	alive  bool
	values [keyCount]int // 0: absent
	bound  uint32        // a bit for each client whose handle is of the present life
}

type opKind int

const (
	opCreate opKind = iota
	opAttach
	opResume
	opGet
	opHas
	opSet
	opSetIfAbsent
	opTake
	opDelete
	opUpdate
	opSave
	opLoad
	opDestroy
)

var opNames = [...]string{"Create", "Attach", "Resume", "Get", "Has", "Set", "SetIfAbsent", "Take", "Delete", "Update", "Save", "Load", "Destroy"}

// An input is what a client asked for. Every value that is ever written is
// another, so that a reader's value says who wrote it.
type input struct {
	op     opKind
	client int
	key    int
	value  int
	value2 int // Save writes it to the next key
}

// An output is what the client was told.
type output struct {
	kind   string // of the error; "unknown outcome" leaves all else open
	value  int    // 0: absent
	value2 int
	ok     bool
}

func (in input) next() int { return (in.key + 1) % keyCount }

// step tells whether out is a right answer in state s, and the state after it. An operation of
// unknown outcome took effect at some moment between its call and the end of the history. That it
// never did is the same as that it did at the very end.
func step(s state, in input, out output) (bool, state) {
	unknown := out.kind == "unknown outcome"
	bit := uint32(1) << in.client
	switch in.op {
	case opCreate:
		if s.alive {
			return unknown || out.kind == "exists", s
		}
		next := state{alive: true}
		next.values[in.key] = in.value
		if !unknown {
			next.bound = bit
		}
		return unknown || out.kind == "", next
	case opAttach:
		if !s.alive {
			return out.kind == "no session", s
		}
		s.bound |= bit
		return out.kind == "", s
	case opResume:
		if !s.alive {
			return unknown || out.kind == "no session", s
		}
		s.bound = 0
		if !unknown {
			s.bound = bit
		}
		return unknown || out.kind == "", s
	case opDestroy: // idempotent, and none of a later life's business
		if s.bound&bit != 0 {
			s = state{}
		}
		return unknown || out.kind == "", s
	}
	if s.bound&bit == 0 {
		return unknown || out.kind == "destroyed", s
	}
	old := s.values[in.key]
	switch in.op {
	case opGet:
		return out.kind == "" && out.value == old, s
	case opHas:
		return out.kind == "" && out.ok == (old != 0), s
	case opLoad:
		return out.kind == "" && out.value == old && out.value2 == s.values[in.next()], s
	case opSet:
		s.values[in.key] = in.value
	case opDelete:
		s.values[in.key] = 0
	case opTake:
		s.values[in.key] = 0
		return unknown || out.kind == "" && out.value == old, s
	case opSetIfAbsent:
		if old == 0 {
			s.values[in.key] = in.value
		}
		return unknown || out.kind == "" && out.ok == (old == 0), s
	case opUpdate: // out.value is what the last try saw
		if out.value == old {
			s.values[in.key] = in.value
		}
		return unknown || out.kind == "" && out.value == old, s
	case opSave:
		s.values[in.key], s.values[in.next()] = in.value, in.value2
	}
	return unknown || out.kind == "", s
}

var model = porcupine.Model{
	Init: func() any { return state{} },
	Step: func(s, in, out any) (bool, any) { return step(s.(state), in.(input), out.(output)) },
	DescribeOperation: func(in, out any) string {
		i, o := in.(input), out.(output)
		return fmt.Sprintf("%s(key %d, %d, %d) = %d, %d, %v, %q", opNames[i.op], i.key, i.value, i.value2, o.value, o.value2, o.ok, o.kind)
	},
}

// check fails t if the history of one session ID is not linearizable.
func check(t *testing.T, history []porcupine.Operation) {
	t.Helper()
	result, info := porcupine.CheckOperationsVerbose(model, history, patience)
	switch result {
	case porcupine.Ok:
	case porcupine.Unknown:
		t.Errorf("a history of %d operations could not be judged in %v", len(history), patience)
	default:
		t.Errorf("a history of %d operations is not linearizable", len(history))
		longest := 0
		for _, p := range info.PartialLinearizations() {
			for _, order := range p {
				longest = max(longest, len(order))
			}
		}
		t.Logf("at most %d of them can be put in order:", longest)
		for _, op := range history {
			t.Logf("%v–%v client %d %s", time.Duration(op.Call), time.Duration(op.Return), op.ClientId, model.DescribeOperation(op.Input, op.Output))
		}
	}
}

// The model must refuse what the library promises never to do.
func TestModelRefuses(t *testing.T) {
	ok := output{}
	type ops = []porcupine.Operation
	at := func(client int, call, ret int64, in input, out output) porcupine.Operation {
		in.client = client
		return porcupine.Operation{ClientId: client, Input: in, Call: call, Output: out, Return: ret}
	}
	born := ops{
		at(0, 0, 1, input{op: opCreate, value: 1}, ok),
		at(1, 2, 3, input{op: opAttach}, ok),
	}
	const never = 1 << 40
	for _, c := range []struct {
		name string
		then ops
		want bool
	}{
		{"a plain read", ops{at(1, 4, 5, input{op: opGet}, output{value: 1})}, true},
		{"a stale read", ops{
			at(0, 4, 5, input{op: opSet, value: 2}, ok),
			at(1, 6, 7, input{op: opGet}, output{value: 1}),
		}, false},
		{"a lost update", ops{
			at(0, 4, 9, input{op: opUpdate, value: 2}, output{value: 1}),
			at(1, 4, 9, input{op: opUpdate, value: 3}, output{value: 1}),
		}, false},
		{"a write after Destroy", ops{
			at(0, 4, 5, input{op: opDestroy}, ok),
			at(1, 6, 7, input{op: opSet, value: 2}, ok),
		}, false},
		{"a write of an earlier life", ops{
			at(0, 4, 5, input{op: opResume}, ok),
			at(1, 6, 7, input{op: opSet, value: 2}, ok),
		}, false},
		{"a refusal without reason", ops{at(1, 4, 5, input{op: opSet, value: 2}, output{kind: "destroyed"})}, false},
		{"a Destroy that reaches the next life", ops{
			at(0, 4, 5, input{op: opDestroy}, ok),
			at(0, 6, 7, input{op: opCreate, value: 2}, ok),
			at(1, 8, 9, input{op: opDestroy}, ok),
			at(0, 10, 11, input{op: opGet}, output{kind: "destroyed"}),
		}, false},
		{"half of a Save", ops{
			at(0, 4, 9, input{op: opSave, value: 2, value2: 3}, ok),
			at(1, 5, 6, input{op: opLoad}, output{value: 2}),
		}, false},
		{"two who take one value", ops{
			at(0, 4, 9, input{op: opTake}, output{value: 1}),
			at(1, 4, 9, input{op: opTake}, output{value: 1}),
		}, false},
		{"an unknown outcome, seen late", ops{
			at(0, 4, never, input{op: opSet, value: 2}, output{kind: "unknown outcome"}),
			at(1, 5, 6, input{op: opGet}, output{value: 1}),
			at(1, 7, 8, input{op: opGet}, output{value: 2}),
		}, true},
		{"an unknown outcome, seen and gone again", ops{
			at(0, 4, never, input{op: opSet, value: 2}, output{kind: "unknown outcome"}),
			at(1, 5, 6, input{op: opGet}, output{value: 2}),
			at(1, 7, 8, input{op: opGet}, output{value: 1}),
		}, false},
	} {
		history := append(append(ops{}, born...), c.then...)
		if got := porcupine.CheckOperations(model, history); got != c.want {
			t.Errorf("%s: linearizable = %v, want %v", c.name, got, c.want)
		}
	}
}
