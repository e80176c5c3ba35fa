package codec

import (
	"errors"
	"testing"
)

// point has methods of the shape that tinylib/msgp generates: an array of two small integers.
type point struct{ X, Y int8 }

func (p *point) MarshalMsg(b []byte) ([]byte, error) {
	if p.X < 0 || p.Y < 0 {
		return b, errors.New("negative")
	}
	return append(b, 0x92, byte(p.X), byte(p.Y)), nil
}

func (p *point) UnmarshalMsg(b []byte) ([]byte, error) {
	if len(b) < 3 || b[0] != 0x92 {
		return b, errors.New("no point")
	}
	p.X, p.Y = int8(b[1]), int8(b[2])
	return b[3:], nil
}

// label has MarshalMsg on the value and is a scalar otherwise.
type label string

func (l label) MarshalMsg(b []byte) ([]byte, error) { return append(b, 0xa1, l[0]), nil }

func (l *label) UnmarshalMsg(b []byte) ([]byte, error) {
	*l = label(b[1:2])
	return b[2:], nil
}

// labelled would lose Y if the promoted methods were used.
type labelled struct {
	point
	Z int
}

func TestGeneratedMethods(t *testing.T) {
	p := &point{1, 2}
	check(t, *p, "\x92\x01\x02")
	check(t, p, "\x92\x01\x02")
	check(t, label("xyz")[:1], "\xa1x")

	b, err := Append(Msgpack, nil, &label0)
	if err != nil || string(b) != "\xa1l" {
		t.Errorf("Append(label) = %q, %v, want the bytes of MarshalMsg", b, err)
	}
	if got, err := Decode[point](Msgpack, []byte("\x92\x01\x02\x03")); err == nil {
		t.Errorf("Decode with a byte too many = %v, want an error", got)
	}
	if got, err := Decode[point](Msgpack, []byte("\x92\x01")); err == nil {
		t.Errorf("Decode of cut bytes = %v, want an error", got)
	}
	if b, err := Append(Msgpack, []byte("x"), &point{-1, 0}); err == nil || string(b) != "x" {
		t.Errorf("Append of a point that refuses = %q, %v, want dst and an error", b, err)
	}
}

var label0 = label("long")

func TestPromotedGeneratedMethodsAreNotUsed(t *testing.T) {
	want := labelled{point{1, 2}, 3}
	b, err := Append(Msgpack, nil, &want)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Decode[labelled](Msgpack, b); got != want || err != nil {
		t.Errorf("Decode = %+v, %v, want %+v", got, err, want)
	}
}
