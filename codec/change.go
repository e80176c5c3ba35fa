package codec

import (
	"errors"
	"fmt"
)

// BeforeChange, DuringChange, EndChange and AfterChange return the codecs of a change from
// one codec to another while programs run and sessions live, in this
// order:
//
//  1. Deploy BeforeChange(old, new). It writes as old and reads what both wrote.
//  2. When every process has it, deploy DuringChange(old, new). It writes with new,
//     behind a mark, and reads what both wrote.
//  3. When every process has it, and all sessions with values from before have ended or
//     were written anew, deploy EndChange(new). It writes with the mark as well, and reads with new
//     what has a mark and what has none.
//  4. When every process has it, deploy AfterChange(new). It writes as new without the mark and
//     reads both.
//  5. When the values with a mark have gone as well, new alone will do.
//
// Without the third step, a process of the second would read by old what one of the fourth wrote without a mark.
//
// A step back from any of them to the one before is a deploy like the others. The mark
// tells the values of old and new apart, which plain bytes cannot: 57 by
// [Msgpack] reads as 9 by [JSON].
//
// The mark is the bytes C1 02, the length of the name of new in one byte, and the
// name, before the encoding. Neither a msgpack value nor JSON text begins with C1.
// Values of [Raw] may; use it on neither side. A mistake in the arguments is an
// error of every use.
func BeforeChange(old, new Codec) Codec {
	return newChange("BeforeChange", old, new, false)
}

// DuringChange is the second step; see [BeforeChange].
func DuringChange(old, new Codec) Codec {
	return newChange("DuringChange", old, new, true)
}

// EndChange is the third step; see [BeforeChange].
func EndChange(new Codec) Codec {
	return newChange("EndChange", new, new, true)
}

// AfterChange is the last step; see [BeforeChange].
func AfterChange(new Codec) Codec {
	return newChange("AfterChange", new, new, false)
}

var errOtherCodec = errors.New("it is marked as written by another codec")

// A change reads what is marked with the name of new by new, and all else by old.
type change struct {
	old, new Codec
	name     string // of new
	writeNew bool
	err      error // what is wrong with the arguments
}

func newChange(step string, old, new Codec, writeNew bool) Codec {
	c := change{old: old, new: new, writeNew: writeNew}
	for _, side := range []Codec{old, new} {
		if err := wrappable(step, side); err != nil {
			c.err = &misuseError{err}
			return &c
		}
	}
	c.name = new.Name()
	if _, ok := new.(*change); ok {
		c.err = &misuseError{fmt.Errorf("codec: %s to a codec that is itself one of a change; name the codec that comes after", step)}
	} else if n := len(c.name); n == 0 || n > 255 {
		c.err = &misuseError{fmt.Errorf("codec: %s to a codec whose name has %d bytes; it needs 1 to 255", step, n)}
	}
	return &c
}

// Name implements [Codec]. It is the name of the codec that writes.
func (c *change) Name() string {
	if c.writeNew {
		return nameOf(c.new)
	}
	return nameOf(c.old)
}

func (c *change) Append(dst []byte, v any) ([]byte, error) {
	if c.err != nil {
		return dst, c.err
	}
	out, writer := dst, c.old
	if c.writeNew {
		out, writer = appendName(dst, c.name), c.new
	}
	out, err := appendWith(writer, out, v)
	if err != nil {
		return dst, err
	}
	return out, nil
}

func (c *change) Decode(data []byte, v any) error {
	if c.err != nil {
		return c.err
	}
	if _, err := target(c, v); err != nil {
		return err
	}
	name, encoding, err := cutName(data)
	switch {
	case err != nil:
		return refuse(c, v, err.Error(), err)
	case name == nil:
		return decodeWith(c.old, data, v)
	case string(name) == c.name:
		return decodeWith(c.new, encoding, v)
	}
	if _, ok := c.old.(*change); ok {
		return decodeWith(c.old, data, v) // a change before this one, with a mark of its own
	}
	// The name is stored data and is not repeated.
	return refuse(c, v, errOtherCodec.Error(), errOtherCodec)
}
