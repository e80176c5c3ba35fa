/*
Package codec turns typed values into bytes and back.

Most programs only choose one of three codecs and hand it to the store:

	codec.Msgpack  compact and fast; any type; the usual choice
	codec.JSON     readable by people and by everything else; any type
	codec.Raw      []byte and string as they are

To use one directly, call [Append] and [Decode]:

	b, err := codec.Append(codec.Msgpack, nil, &claims)
	claims, err := codec.Decode[TokenClaims](codec.Msgpack, b)

What they write is plain msgpack or JSON without an envelope, so a program in another
language can read it.

# Scalars

Scalars are string, bool, the integers, the floats, []byte, time.Time, time.Duration and types
defined as one of the basic kinds (type Role string). For them [Append] and [Decode] do not call the
library behind the codec. They do not allocate, except for the copy of a []byte. The bytes are the
same. A decoded string shares the memory of the encoded bytes, which therefore must never change.

A defined type that has methods for marshaling, or functions registered with the msgpack
library, always goes the library's way. This is decided when a type is first
used, so register functions before that, for instance in an init function.

# Structs, slices, maps

[Msgpack] compiles each Go type, when it is first used, into a program that encodes from memory and decodes
into it. The bytes are those of the msgpack library. Values within that have
methods of their own, or functions registered with the library, are encoded and decoded through those. An encoder
method that changes the options of the library's Encoder changes them for its own value only. A struct with fields that are
tagged intern goes to the library as a whole. Decoded strings share the memory of the encoded bytes.

[JSON] decodes by such a program too, by the rules of encoding/json. What the program does not expect, such as a name that
occurs twice or a mistake, it leaves to encoding/json. That decodes into a value that is zero again. Encoding is
encoding/json's.

[CheckType] tells whether a type can be stored at all. What comes back changed is listed in docs/values.md. It is above all
the zone of a time, the types of values in interfaces, unexported fields, and with [JSON] fields that are tagged "-".

# Generated methods

With [Msgpack], a type that has the two methods

	MarshalMsg(b []byte) ([]byte, error)    // appends to b
	UnmarshalMsg(b []byte) ([]byte, error)  // returns what follows the value

as tinylib/msgp generates them, is encoded through them, which is several times faster than reflection.
They must write one msgpack value. Bytes that the type's UnmarshalMsg refuses are decoded as for a type without it, because
they may be older than the method. A struct that embeds a type with such methods goes through
the library instead, since methods promoted from one field would lose the others.

# Values that outlive a deploy

[Versioned] reads the values of earlier versions of a type through functions that upgrade them. [BeforeChange],
[DuringChange], [EndChange] and [AfterChange] lead from one codec to another while sessions live. Both put a mark before
the encoding, which no plain msgpack or JSON begins with; their comments tell other languages how to read it.

# What is refused

Stored bytes may come from anywhere. Decoding never panics because of them. It needs memory in proportion to their length,
times the size of the largest slice or map element in the Go type. Beyond what the libraries refuse, [Msgpack] refuses bytes
after the value, lengths that exceed the data and nesting deeper than 1000. It refuses a number that does not fit into the
Go type and a map none of whose entries is a field of the struct. It refuses nil in the place of the whole value, except for
a slice or a map. [JSON] has the bounds of encoding/json. It also refuses an object none of whose entries is a field of the
struct, an array with more elements than the Go array and an integer that a float cannot hold.

Encoding refuses what would not come back, also in interfaces. Of types, it refuses those with channels, functions or uintptr in them,
structs without exported fields, and two fields stored under one name. It refuses types with methods that encode but none that decode what
those write. It refuses structs whose methods are those of one embedded field while they have others. Of values, it refuses keys of maps
with pointers in them, and what contains itself or is nested deeper than 1000 (10 000 with [JSON]).

# Errors

An error is one line that names the codec, the Go type, the path of the field and what kind of thing was found. It
does not show the data, except for an integer that does not fit. The text of an error from an unmarshal method may
quote data, so it is not repeated; errors.As and errors.Is reach it.

# Writing a codec

Implement [Codec] on a comparable type without state, such as an empty struct. Its comment says who owns which slice. [Append] and [Decode]
work with it as with the built-in ones. They take three allocations: the value, the encoding, and a copy of the stored bytes. They pass a
nil dst and a copy as data, so that a codec with a fault cannot spoil other values. Package codectest finds such faults.
*/
package codec
