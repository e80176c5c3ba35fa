package codec

import (
	"errors"
	"io"
	"sync"
)

// A reader hands walked bytes to the library's decoder.
//
// Where it expects a map and finds an extension, the library takes the extension's body for the map. It would
// then read lengths that walk never saw. The library reads codes with ReadByte and contents with Read. So the
// reader refuses a ReadByte within a body that walk found not to be a sequence of values.
type reader struct {
	data   []byte
	pos    int
	opaque []span // still ahead, in order
	spans  []span // the memory of opaque
	index  bool   // the last byte read was the index of an earlier string
}

var readers = sync.Pool{New: func() any { return new(reader) }}

var errExtension = errors.New("an extension in the place of a map")

// reset walks data and makes the reader ready to read it.
func (r *reader) reset(data []byte) error {
	spans, err := walk(data, 0, len(data), 0, r.spans[:0])
	*r = reader{data: data, opaque: spans, spans: spans}
	return err
}

// release puts the reader back into the pool without the data.
func (r *reader) release() {
	const few = 64
	if cap(r.spans) > few {
		r.spans = nil
	}
	*r = reader{spans: r.spans}
	readers.Put(r)
}

// Read reads the content of a value.
func (r *reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if r.index {
		// Only a code has contents, so the index was taken for one.
		return 0, errExtension
	}
	if r.pos == len(r.data) {
		return 0, io.EOF
	}
	n := copy(p, r.data[r.pos:])
	r.pos += n
	return n, nil
}

// ReadByte reads a code, or a length of one byte.
func (r *reader) ReadByte() (byte, error) {
	if r.pos == len(r.data) {
		return 0, io.EOF
	}
	if len(r.opaque) > 0 || r.index {
		if err := r.check(); err != nil {
			return 0, err
		}
	}
	b := r.data[r.pos]
	r.pos++
	return b, nil
}

func (r *reader) check() error {
	for len(r.opaque) > 0 && r.pos >= r.opaque[0].end {
		r.opaque = r.opaque[1:]
	}
	r.index = false
	if len(r.opaque) > 0 && r.pos >= r.opaque[0].start {
		if !r.opaque[0].index {
			return errExtension
		}
		r.index = true
	}
	return nil
}

// UnreadByte takes back one ReadByte.
func (r *reader) UnreadByte() error {
	if r.pos == 0 {
		return errors.New("nothing to unread")
	}
	r.pos--
	r.index = false
	return nil
}
