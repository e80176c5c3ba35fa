package codec

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"runtime"
	"strings"
)

// errOverflow: an integer does not fit into the type.
var errOverflow = errors.New("the number is too large or too small for the type")

// errNil: the program that stored nil did not store a value.
var errNil = errors.New("nil is no value of the type")

// errNilEncoded: what would be stored could not be told from nothing.
var errNilEncoded = errors.New("the value is encoded as nil, which is no value of the type")

var errNoCodec = errors.New("codec: the codec is nil; use codec.Msgpack, codec.JSON or codec.Raw")

func errNilPointer(c Codec, t reflect.Type) error {
	if c == nil {
		return errNoCodec
	}
	return fmt.Errorf("codec: %s needs a pointer to the value, not a nil *%v", c.Name(), t)
}

// target returns v, which must be a pointer that is not nil.
func target(c Codec, v any) (reflect.Value, error) {
	p := reflect.ValueOf(v)
	if p.Kind() != reflect.Pointer || p.IsNil() {
		return p, fmt.Errorf("codec: %s needs a pointer to the value that is not nil, not a %T", c.Name(), v)
	}
	return p, nil
}

// A valueError says that a value could not be encoded or decoded. The text tells of the cause only
// what cannot be data.
type valueError struct {
	text string
	err  error
}

func (e *valueError) Error() string { return e.text }
func (e *valueError) Unwrap() error { return e.err }

// encodeError reports that c could not encode a t.
func encodeError(c Codec, t reflect.Type, err error) error {
	return &valueError{fmt.Sprintf("codec: %s cannot encode %s: %s", c.Name(), shortType(t), cause(err)), err}
}

// decodeError reports that c found something that is not an encoding of a t.
func decodeError(c Codec, t reflect.Type, found string, err error) error {
	return &valueError{fmt.Sprintf("codec: %s found %s that does not decode into %s: %s", c.Name(), found, shortType(t), cause(err)), err}
}

// cause describes err without repeating data that its text may quote.
func cause(err error) string {
	var (
		syntax      *json.SyntaxError
		wrongType   *json.UnmarshalTypeError
		badType     *json.UnsupportedTypeError
		badValue    *json.UnsupportedValueError
		broken      *walkError
		trailing    *trailingError
		panicked    *panicError
		located     *fault
		text        = err.Error()
		fromMsgpack = strings.HasPrefix(text, "msgpack: ") && !strings.ContainsAny(text, "\"\n")
	)
	switch {
	case errors.As(err, &located):
		return located.Error()
	case errors.As(err, &syntax):
		if strings.Contains(syntax.Error(), "max depth") {
			return fmt.Sprintf("nested too deep for encoding/json, at byte %d", syntax.Offset)
		}
		return fmt.Sprintf("not valid JSON at byte %d", syntax.Offset)
	case errors.As(err, &wrongType):
		if inner := errors.Unwrap(wrongType); inner != nil { // from Go 1.27 on; before, it came alone
			return cause(inner)
		}
		kind, _, _ := strings.Cut(wrongType.Value, " ") // "number 12" holds the number
		// The field is left out: from Go 1.27 on there are keys of maps in it.
		return fmt.Sprintf("a JSON %s for a Go %v, at byte %d", kind, wrongType.Type, wrongType.Offset)
	// The text of each of these alone: a method of the program may have put data around it.
	case errors.As(err, &badType):
		return badType.Error()
	case errors.As(err, &badValue):
		return badValue.Error()
	case errors.As(err, &broken):
		return broken.Error()
	case errors.As(err, &trailing):
		return trailing.Error()
	case errors.As(err, &panicked):
		return panicked.Error()
	case err == errExtension, err == errOverflow, err == errNil, err == errNilEncoded, err == io.EOF, err == io.ErrUnexpectedEOF, fromMsgpack:
		return text
	}
	return fmt.Sprintf("a %T, which errors.As can reach", err)
}

// A trailingError says how many bytes follow the value.
type trailingError struct{ n int }

func (e *trailingError) Error() string { return fmt.Sprintf("%d bytes follow the value", e.n) }

// A panicError is a panic of a library, met while decoding.
type panicError struct{ value any }

func (e *panicError) Error() string {
	switch v := e.value.(type) {
	case runtime.Error, *reflect.ValueError:
		return fmt.Sprintf("panic: %v", v)
	case string:
		if strings.HasPrefix(v, "reflect") {
			return "panic: " + v
		}
	}
	return fmt.Sprintf("panic with a %T", e.value)
}

// guard calls decode and turns a panic into an error. The libraries panic on some input, for
// example on a slice as the key of a map.
func guard(decode func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &panicError{v}
		}
	}()
	return decode()
}
