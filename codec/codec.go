package codec

// A Codec turns values into bytes and back.
//
// A Codec must be comparable, must hold no state that calls change, and every
// method must be safe for concurrent use. What one process encodes, another one
// with the same Codec must be able to decode.
type Codec interface {
	// Name returns a short, constant name such as "msgpack".
	Name() string

	// Append appends the encoding of the value that v points to, and returns
	// the extended slice. v is a *T that is not nil. Append retains neither dst nor v,
	// and does not change the value. On failure it returns dst with its
	// length unchanged; bytes beyond that length may be overwritten.
	Append(dst []byte, v any) ([]byte, error)

	// Decode stores in *v the value that data encodes, all of it. v is a *T that is not nil. *v is
	// T's zero value, unless the caller decodes on top of another one.
	//
	// data stays unchanged: Decode must not modify it, and a string may share its memory. A []byte
	// must be a copy, because whoever decodes may change it. Bytes that are not an encoding of a T
	// are an error, never a panic. Decode takes no more memory than a multiple of len(data) that
	// depends on T.
	Decode(data []byte, v any) error
}

var (
	// Msgpack encodes as github.com/vmihailenco/msgpack/v5 does with its
	// defaults, byte for byte as its Marshal(&value). See the package comment
	// for what it refuses beyond that library.
	Msgpack Codec = msgpackCodec(0)

	// MsgpackStrict is Msgpack, except that a field which the struct does not have is an error when
	// decoding.
	MsgpackStrict Codec = msgpackCodec(strict)

	// MsgpackJSONTags is Msgpack, except that json tags name, omit and hide the fields that have no
	// msgpack tag.
	MsgpackJSONTags Codec = msgpackCodec(jsonTags)

	// JSON encodes as encoding/json does, byte for byte as json.Marshal(&value).
	JSON Codec = jsonCodec(0)

	// JSONStrict is JSON, except that a field which the struct does not have is an error when
	// decoding.
	JSONStrict Codec = jsonCodec(strict)

	// Raw stores a []byte or a string, or a type defined as one of them, as it is.
	// Any other type is an error. A nil slice becomes an empty one.
	Raw Codec = rawCodec{}
)
