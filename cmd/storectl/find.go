package main

import (
	"context"
	"encoding/hex"
	"flag"
	"iter"
	"strconv"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/codec"
)

var findCommand = &command{
	name: "find", usage: []string{"find [flags] KEY VALUE"}, args: "a KEY and a VALUE", summary: "find sessions by the value of an indexed key", least: 2, most: 2,
	help: `
Find lists the sessions whose KEY has the VALUE, on all nodes. The programs must have the key among their Options.Indexes; of
others nothing is found. It is cheap: it reads one list and the sessions that this names.

Values that are sealed with a KeyRing are listed under keyed hashes. To find them it takes the same keys, from the file of -sealing-keys
or from STORE_SEALING_KEYS, as ID:SECRET with white space between them: the ID is the SealingKey's, the secret is in base64 or
hexadecimal digits, and # begins a comment. No key is ever shown. A Sealer of your own cannot be given.

When nothing is found it looks at some sessions, 64 at most, and fails if the values of the KEY do not fit the keys that it has.

A VALUE that begins with a hyphen stands behind --.`,
	flags: func(set *flag.FlagSet, f *flags) {
		valueFlags(set, f)
		set.BoolVar(&f.long, "long", false, "show the number of keys and bytes, too; this loads all values")
	},
	run: find,
}

func valueFlags(set *flag.FlagSet, f *flags) {
	set.StringVar(&f.valueType, "type", "string", "the `TYPE` of the key's values: string, int, bool, or bytes in hexadecimal digits")
	set.StringVar(&f.codec, "codec", "msgpack", "the `CODEC` that stores them: msgpack, json or raw")
	sealingFlag(set, f)
}

// An index is a key by whose values sessions are found.
type index struct {
	of         store.Index
	find       func(context.Context, *store.Sessions) iter.Seq2[*store.Session, error]
	destroyAll func(context.Context, *store.Sessions) (int, error)
	count      func(context.Context, *store.Sessions) (int, error)
}

func indexOf[T any](key string, v T) index {
	k := store.Key[T](key)
	return index{
		of: k.Index(),
		find: func(ctx context.Context, ss *store.Sessions) iter.Seq2[*store.Session, error] {
			return k.Find(ctx, ss, v)
		},
		destroyAll: func(ctx context.Context, ss *store.Sessions) (int, error) { return k.DestroyAll(ctx, ss, v) },
		count:      func(ctx context.Context, ss *store.Sessions) (int, error) { return k.Count(ctx, ss, v) },
	}
}

// indexed returns the index that the arguments KEY and VALUE name, and the codec. It reads the sealing keys.
func (c *call) indexed(ctx context.Context) (x index, in codec.Codec, err error) {
	key, value := c.args[0], c.args[1]
	if err := store.CheckKey(key); err != nil {
		return x, nil, wrongf("%s: the key cannot be used: %v", c.name, err)
	}
	if in, err = c.codecOf(); err != nil {
		return x, nil, err
	}
	switch c.valueType {
	case "string":
		x = indexOf(key, value)
	case "bool":
		v, err := strconv.ParseBool(value)
		if err != nil {
			return x, nil, wrongf("%s: the value is no bool; give true or false", c.name)
		}
		x = indexOf(key, v)
	case "int":
		if v, err := strconv.ParseInt(value, 10, 64); err == nil {
			x = indexOf(key, v)
		} else if v, err := strconv.ParseUint(value, 10, 64); err == nil {
			x = indexOf(key, v)
		} else {
			return x, nil, wrongf("%s: the value is no integer of 64 bits", c.name)
		}
	case "bytes":
		v, err := hex.DecodeString(value)
		if err != nil {
			return x, nil, wrongf("%s: the value has not the form of bytes; give two hexadecimal digits for each", c.name)
		}
		x = indexOf(key, v)
	default:
		return x, nil, wrongf("%s: the type is string, int, bool or bytes", c.name)
	}
	if c.codec == "raw" && c.valueType != "string" && c.valueType != "bytes" {
		return x, nil, wrongf("%s: the codec raw has strings and bytes only", c.name)
	}
	if c.ring, err = c.sealer(ctx); err != nil {
		return x, nil, err
	}
	return x, in, nil
}

// codecOf returns the codec that the flag names.
func (c *call) codecOf() (codec.Codec, error) {
	switch c.codec {
	case "msgpack":
		return codec.Msgpack, nil
	case "json":
		return codec.JSON, nil
	case "raw":
		return codec.Raw, nil
	}
	return nil, wrongf("%s: the codec is msgpack, json or raw", c.name)
}

// sessions returns Sessions that have the index. They own none.
func (c *call) sessions(x index, in codec.Codec) (*store.Sessions, error) {
	return store.New(c.store, &store.Options{Codec: in, Sealer: c.ring, Indexes: []store.Index{x.of}})
}

func find(ctx context.Context, c *call) error {
	x, in, err := c.indexed(ctx)
	if err != nil {
		return err
	}
	if err := c.open(ctx, nil); err != nil {
		return err
	}
	ss, err := c.sessions(x, in)
	if err != nil {
		return err
	}
	defer ss.Close(context.WithoutCancel(ctx))
	n := 0
	for found, err := range x.find(ctx, ss) {
		var s *session
		if err == nil {
			s, err = c.look(ctx, found.ID())
		}
		switch {
		case err != nil && !c.unread.skip(ctx, err):
			return err
		case s == nil:
			continue // it cannot be read, or has ended meanwhile
		}
		if err := c.list(ctx, []*session{s}, n == 0); err != nil {
			return err
		}
		n++
	}
	if n > 0 || c.unread.err() != nil {
		return nil
	}
	if err := c.nothingFound(ctx, ss); err != nil {
		return err
	}
	if !c.json {
		c.out.line("No session has this value under this key, as far as an index tells.")
	}
	return nil
}
