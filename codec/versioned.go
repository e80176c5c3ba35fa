package codec

import (
	"errors"
	"fmt"
	"math"
	"reflect"
)

// maxVersion is the largest version.
const maxVersion = math.MaxInt32

// ErrNewer says that the stored value is of a newer version than the program has; see [Versioned].
// The store reports it as a value that does not decode, too.
var ErrNewer = errors.New("the value is of a newer version than this program knows")

var errNoUpgrade = errors.New("no upgrade from the version of the value")

// An Upgrade turns a value of one version into one of the next; see [Versioned].
// [From] and [Back] make it.
type Upgrade struct {
	from, to int
	in, out  reflect.Type
	apply    func(v any) (any, error) // v is a *in, the result is an out
}

// From returns the upgrade from version to the one after it. The types are those
// of the two versions. An error of upgrade makes the value one that does not decode.
func From[Old, New any](version int, upgrade func(Old) (New, error)) Upgrade {
	return conversion(version, version+1, upgrade)
}

// Back returns the way from version to the one before it. It is for programs of the version before,
// which must read what newer ones write already; see [Versioned].
func Back[New, Old any](version int, downgrade func(New) (Old, error)) Upgrade {
	return conversion(version, version-1, downgrade)
}

func conversion[A, B any](from, to int, f func(A) (B, error)) Upgrade {
	u := Upgrade{from: from, to: to, in: reflect.TypeFor[A](), out: reflect.TypeFor[B]()}
	if f != nil {
		u.apply = func(v any) (any, error) { return f(*v.(*A)) }
	}
	return u
}

// Versioned returns a codec for values of one type whose shape changes from
// deploy to deploy. It encodes with inner, behind a mark with version, and decodes
// values of other versions by way of the upgrades, one after the other:
//
//	var claimsCodec = codec.Versioned(codec.Msgpack, 2,
//		codec.From(0, func(c ClaimsV0) (ClaimsV1, error) { … }),
//		codec.From(1, func(c ClaimsV1) (Claims, error) { … }))
//
//	var Claims = store.Key[Claims]("claims").With(claimsCodec)
//
// Values without a mark, as inner alone wrote them, are of version 0; and version 0 is written
// without a mark. A version without an upgrade does not decode. Nor does a newer one, which is
// [ErrNewer]. The last upgrade must return the type that is decoded.
//
// In a rolling deploy sessions move in both directions between old and new
// processes. So that each reads what the other wrote, change in two deploys:
//
//  1. Processes of the old version get [Back] for the new one, and still write the old
//     one: Versioned(inner, 1, Back(2, …)).
//  2. When all of them run, deploy the new version: Versioned(inner, 2, From(1, …)).
//
// Where an error on an old process is acceptable, step 2 alone will do.
//
// The mark precedes the encoding by inner. It is the bytes C1 01 and the version as a base-128
// varint, low part first (1 to 127 are one byte). Neither a msgpack value nor JSON text begins with
// C1. Values of [Raw] may, so Versioned refuses it.
//
// Declare the result once, as a variable: two results are different codecs. A
// mistake in the arguments is an error of every use.
func Versioned(inner Codec, version int, upgrades ...Upgrade) Codec {
	c := &versioned{inner: inner, version: version}
	if err := c.init(upgrades); err != nil {
		c.err = &misuseError{err}
	}
	return c
}

type versioned struct {
	inner   Codec
	version int
	steps   map[int]Upgrade // by the version that they start from
	err     error           // what is wrong with the arguments
}

func (c *versioned) init(upgrades []Upgrade) error {
	if err := wrappable("Versioned", c.inner); err != nil {
		return err
	}
	if _, twice := c.inner.(*versioned); twice {
		return errors.New("codec: Versioned around Versioned: put all upgrades into one")
	}
	if c.version < 0 || c.version > maxVersion {
		return fmt.Errorf("codec: Versioned: version %d is not within 0 to %d", c.version, maxVersion)
	}
	c.steps = make(map[int]Upgrade, len(upgrades))
	for _, u := range upgrades {
		_, twice := c.steps[u.from]
		switch {
		case u.apply == nil:
			return fmt.Errorf("codec: Versioned: the function for version %d is nil", u.from)
		case twice:
			return fmt.Errorf("codec: Versioned: there are two functions for version %d", u.from)
		case u.from < 0 || u.to < 0 || u.from == c.version,
			u.from < c.version && u.to < u.from,
			u.from > c.version && u.to > u.from:
			return fmt.Errorf("codec: Versioned: a function from version %d to %d leads away from version %d", u.from, u.to, c.version)
		}
		c.steps[u.from] = u
	}
	for _, u := range c.steps {
		next, ok := c.steps[u.to]
		switch {
		case u.to == c.version:
			if t := c.own(); t != u.out {
				return fmt.Errorf("codec: Versioned: version %d is %v for one function and %v for another", c.version, t, u.out)
			}
		case !ok:
			return fmt.Errorf("codec: Versioned: there is a function for version %d but none for version %d after it", u.from, u.to)
		case next.in != u.out:
			return fmt.Errorf("codec: Versioned: version %d is %v for one function and %v for another", u.to, u.out, next.in)
		}
	}
	return nil
}

// own returns the type of the codec's own version; nil where no function tells.
func (c *versioned) own() reflect.Type {
	if u, ok := c.steps[c.version-1]; ok {
		return u.out
	}
	if u, ok := c.steps[c.version+1]; ok {
		return u.out
	}
	return nil
}

// Name implements [Codec]. It is the name of the inner codec.
func (c *versioned) Name() string { return nameOf(c.inner) }

// check returns nil, or why c cannot be used for *v.
func (c *versioned) check(v any) error {
	if c.err != nil {
		return c.err
	}
	p, err := target(c, v)
	if err != nil {
		return err
	}
	if t := c.own(); t != nil && t != p.Type().Elem() {
		return &misuseError{fmt.Errorf("codec: version %d is %v for Versioned, not %v; give each type a codec of its own", c.version, t, p.Type().Elem())}
	}
	return nil
}

func (c *versioned) Append(dst []byte, v any) ([]byte, error) {
	if err := c.check(v); err != nil {
		return dst, err
	}
	out := dst
	if c.version > 0 {
		out = appendVersion(dst, c.version)
	}
	out, err := appendWith(c.inner, out, v)
	if err != nil {
		return dst, err
	}
	return out, nil
}

func (c *versioned) Decode(data []byte, v any) error {
	if err := c.check(v); err != nil {
		return err
	}
	version, encoding, err := cutVersion(data)
	if err != nil {
		return refuse(c, v, err.Error(), err)
	}
	if version == c.version {
		return decodeWith(c.inner, encoding, v)
	}
	step, ok := c.steps[version]
	switch {
	case !ok && version > c.version:
		return refuse(c, v, fmt.Sprintf("it is of version %d, and the newest that this program knows is %d", version, c.version), ErrNewer)
	case !ok:
		return refuse(c, v, fmt.Sprintf("it is of version %d, for which there is no codec.From", version), errNoUpgrade)
	}
	old := reflect.New(step.in)
	if err := decodeWith(c.inner, encoding, old.Interface()); err != nil {
		return err
	}
	for {
		var next any
		if err := guard(func() (err error) { next, err = step.apply(old.Interface()); return err }); err != nil {
			return refuse(c, v, fmt.Sprintf("the function from version %d to %d failed: %s", step.from, step.to, cause(err)), err)
		}
		result := reflect.New(step.out)
		if next != nil { // nil is the nil of an interface type
			result.Elem().Set(reflect.ValueOf(next))
		}
		if step.to == c.version {
			reflect.ValueOf(v).Elem().Set(result.Elem())
			return nil
		}
		step, old = c.steps[step.to], result
	}
}

// refuse reports that what is stored for *v cannot be decoded.
func refuse(c Codec, v any, why string, err error) error {
	return &valueError{fmt.Sprintf("codec: %s cannot decode %v: %s", c.Name(), reflect.TypeOf(v).Elem(), why), err}
}

// wrappable returns nil, or why the codec called name cannot be put around inner.
func wrappable(name string, inner Codec) error {
	switch {
	case inner == nil:
		return fmt.Errorf("codec: %s around a codec that is nil; use codec.Msgpack or codec.JSON", name)
	case inner == Raw:
		return fmt.Errorf("codec: %s around codec.Raw: its values may begin like a mark; use codec.Msgpack or codec.JSON", name)
	}
	return nil
}

func nameOf(c Codec) string {
	if c == nil {
		return "nothing"
	}
	return c.Name()
}
