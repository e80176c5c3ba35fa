package store

import "sync"

// keepBuffer is the largest buffer that is kept for reuse.
const keepBuffer = 64 << 10

// A buffer collects the encodings of one operation. Backends do not retain what
// they are given, so it is reused.
type buffer struct{ b []byte }

var buffers = sync.Pool{New: func() any { return &buffer{b: make([]byte, 0, 128)} }}

func getBuffer() *buffer { return buffers.Get().(*buffer) }

func (b *buffer) reset() { b.b = b.b[:0] }

func (b *buffer) release() {
	if cap(b.b) > keepBuffer {
		return
	}
	b.reset()
	buffers.Put(b)
}
