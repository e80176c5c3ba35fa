package redisstore

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/redis/go-redis/v9"
	"github.com/sessionkv/store"
)

// The fields of the fence that native writes look at. They have no value: what
// counts is whether they exist.
//
//  1. A field whose name is namePrefix and the token of a life exists while that
//     life goes on.
//  2. While fenceField exists, no other field has a name with that prefix. Whoever
//     begins a life by the layout before, which has neither, deletes fenceField: its
//     Resume always did so with a field of this name.
//  3. So a write that needs both, and the field of its key, is of the present life,
//     in whichever version the processes are that share the session.
const (
	fenceField = "\x00r"
	namePrefix = "\x00L"
)

// nativeSet is HSETEX with FXX, of the fence and of one key with its value: token,
// key, value. It writes if all of them exist, and otherwise nothing. Servers answer it in half
// the time of a script.
var nativeSet = &script{numbers: []answer{notWritten, answerDone}}

const notWritten = 0

// A nativeCommand is a command that is not a script. What it needs lies in one piece of memory.
type nativeCommand struct {
	command
	fence nameFuse
	key   keyArgument
	value valueArgument
	room  [11]any
}

func newNative(ctx context.Context, name, token any, key string, value []byte) *command {
	n := new(nativeCommand)
	n.script = nativeSet
	n.fence.c, n.fence.token = &n.command, token
	n.key.string, n.value.bytes = key, value
	n.Cmder = redis.NewCmd(ctx, append(n.room[:0], "hsetex", name, "fxx", "fields", 3, fenceField, "", &n.fence, "", &n.key, &n.value)...)
	n.SetFirstKeyPos(1)
	return &n.command
}

// A keyArgument is a key as an argument. Its address takes no memory of its own.
type keyArgument struct{ string }

// MarshalBinary returns the key. Nobody changes it.
func (a *keyArgument) MarshalBinary() ([]byte, error) {
	return unsafe.Slice(unsafe.StringData(a.string), len(a.string)), nil
}

// String returns the key, for hooks that show commands.
func (a *keyArgument) String() string { return a.string }

// Len returns the bytes of the key.
func (a *keyArgument) Len() int { return len(a.string) }

// A valueArgument is a value as an argument.
type valueArgument struct{ bytes []byte }

// MarshalBinary returns the value.
func (a *valueArgument) MarshalBinary() ([]byte, error) { return a.bytes, nil }

// String returns the value, for hooks that show commands.
func (a *valueArgument) String() string { return string(a.bytes) }

// Len returns the bytes of the value.
func (a *valueArgument) Len() int { return len(a.bytes) }

// A nameFuse is the fuse of a native command. It takes the place of the field that has the
// token of its life in its name.
type nameFuse struct {
	c     *command
	token any
	room  [len(namePrefix) + tokenLength]byte
}

// MarshalBinary returns the name of the field, or for a withdrawn command one that
// no session has.
func (f *nameFuse) MarshalBinary() ([]byte, error) {
	name := append(f.room[:0], namePrefix...)
	if !f.c.burn() {
		return name, nil
	}
	return append(name, f.token.(string)...), nil
}

// String returns what hooks may show.
func (f *nameFuse) String() string { return "token" }

// setNative writes value under key if both the life and the key exist, and reports
// whether it did. Where the server does not take the command, it does nothing.
func (s *handle) setNative(ctx context.Context, key string, value []byte) (written bool, err error) {
	r := request{script: nativeSet, name: s.name, token: s.token, key: key, value: value}
	cmd, err := s.b.run(ctx, once, &r)
	switch {
	case err == nil:
		return cmd.answer() == answerDone, nil
	case s.b.unsuited(err):
		s.b.native.refused()
		return false, nil
	default:
		return false, s.b.explain(err, secretsOf(s.name, []any{s.token, key, value})...)
	}
}

// unsuited reports whether a server has refused a command as such, and not for the session or the
// moment. It does not have the command, or in another form, or the user may not run it.
func (b *Backend) unsuited(err error) bool {
	reply, refused := replyError(err)
	if !refused || errors.Is(err, store.ErrUnknownOutcome) || b.passing(reply) {
		return false
	}
	text := essence(reply.Error())
	for _, r := range refusals {
		if r.word != "NOPERM" && strings.HasPrefix(text, r.word) {
			return false
		}
	}
	return true
}

// What a native has been told.
const (
	unasked int32 = iota
	able
	unable
)

// A native finds out whether the server takes native writes: Redis from 8.0, Valkey
// from 9.0, Dragonfly.
//
//  1. It asks aside, with a write that finds nothing to write, while operations go
//     on with scripts. So no write of a caller is what a proxy breaks a connection at.
//  2. A server that turns out not to take them gets none from then on.
//  3. It is asked again after nativePause, and at once after what a change of server
//     looks like: a lost connection, a forgotten script, a refusal that says READONLY.
//
// A nil native is that of a backend that sends scripts only.
type native struct {
	client redis.UniversalClient
	name   func() string // of a session that does not exist
	ctx    context.Context
	stop   func() // ends ctx
	told   atomic.Int32
	asking atomic.Bool
	next   atomic.Int64 // nanoseconds after began; not asked before

	failures int // of the one who has set asking
}

const nativePause = time.Minute

var began = time.Now()

// newNativeOf returns a native that asks the server of client about a session that
// name makes up.
func newNativeOf(client redis.UniversalClient, name func() string) *native {
	n := &native{client: client, name: name}
	n.ctx, n.stop = context.WithCancel(context.Background())
	return n
}

// ready reports whether the server takes native writes, as far as it was asked. It never waits.
func (n *native) ready() bool {
	if n == nil {
		return false
	}
	told := n.told.Load()
	if told != able && int64(time.Since(began)) >= n.next.Load() && n.asking.CompareAndSwap(false, true) {
		go n.ask(n.ctx)
	}
	return told == able
}

// askNow asks the server and waits for the answer, unless somebody else does ask.
func (n *native) askNow(ctx context.Context) {
	if n != nil && n.told.Load() != able && n.asking.CompareAndSwap(false, true) {
		n.ask(ctx)
	}
}

// ask asks the server. The caller has set asking.
func (n *native) ask(ctx context.Context) {
	defer n.asking.Store(false)
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var takes bool
	err := await(ctx, func() (err error) { takes, err = n.question(ctx); return err })
	switch {
	case err != nil:
		n.wait(min(minAskPause<<min(n.failures, 16), maxAskPause))
		n.failures++
		return
	case takes:
		n.told.Store(able)
	default:
		n.refused()
	}
	n.failures = 0
}

// question sends a native write of a session that does not exist.
func (n *native) question(ctx context.Context) (takes bool, err error) {
	name := n.name()
	cmd := redis.NewCmd(ctx, "hsetex", name, "fxx", "fields", 1, fenceField, "")
	cmd.SetFirstKeyPos(1)
	client := n.client
	if single, ok := client.(*redis.Client); ok {
		client = single.WithTimeout(askTimeout) // its own may be longer, or none at all
	}
	err = client.Process(ctx, cmd)
	reply, refused := replyError(err)
	switch {
	case err == nil && cmd.Val() == any(int64(notWritten)):
		return true, nil
	case err == nil:
		return false, client.Unlink(ctx, name).Err() // it may have been written
	case refused && reply != redis.Nil && (redis.HasErrorPrefix(reply, "ERR") || redis.HasErrorPrefix(reply, "NOPERM")) && !redis.IsMaxClientsError(reply):
		return false, nil
	default:
		return false, err
	}
}

// refused notes that the server does not take native writes.
func (n *native) refused() {
	n.wait(nativePause)
	n.told.Store(unable)
}

func (n *native) wait(d time.Duration) { n.next.Store(int64(time.Since(began) + d)) }

// forget makes a server that did not take native writes be asked again: it may be
// another one now.
func (n *native) forget() {
	if n != nil && n.told.Load() == unable {
		n.next.Store(0)
	}
}

// fence returns the name of the field that fences native writes of this life, and
// "" where there are none.
func (s *handle) fence() string {
	if !s.b.native.ready() {
		return ""
	}
	return namePrefix + s.token.(string)
}

// A keySet remembers roughly which keys of a session have a value, by a bit for a
// number of them. Being wrong costs a round trip.
type keySet struct{ bits atomic.Uint32 }

const allKeys = ^uint32(0)

func bitOf(key string) uint32 {
	h := uint32(2166136261) // FNV-1a
	for i := range len(key) {
		h = (h ^ uint32(key[i])) * 16777619
	}
	return 1 << (h >> 27)
}

func (k *keySet) has(key string) bool { return k.bits.Load()&bitOf(key) != 0 }

func (k *keySet) add(key string) {
	if bit := bitOf(key); k.bits.Load()&bit == 0 {
		k.bits.Or(bit)
	}
}

func (k *keySet) remove(key string) { k.bits.And(^bitOf(key)) }
