package codec_test

import (
	"encoding"
	"fmt"
	"net/netip"

	"github.com/sessionkv/store/codec"
)

type TokenClaims struct {
	Subject string `json:"sub" msgpack:"sub"`
	Admin   bool   `json:"admin" msgpack:"admin"`
}

func ExampleAppend() {
	id := "u-42"
	b, err := codec.Append(codec.Msgpack, nil, &id)
	fmt.Printf("%q %v\n", b, err)
	// Output: "\xa4u-42" <nil>
}

func ExampleDecode() {
	claims, err := codec.Decode[TokenClaims](codec.JSON, []byte(`{"sub":"u-42","admin":true}`))
	fmt.Printf("%+v %v\n", claims, err)

	_, err = codec.Decode[int](codec.JSON, []byte(`{"sub":"u-42","admin":true}`))
	fmt.Println(err)
	// Output:
	// {Subject:u-42 Admin:true} <nil>
	// codec: json found an object that does not decode into int: a JSON object for a Go int, at byte 1
}

// The codecs differ in their bytes only.
func ExampleCodec() {
	claims := TokenClaims{Subject: "u-42"}
	for _, c := range []codec.Codec{codec.Msgpack, codec.JSON} {
		b, err := c.Append(nil, &claims)
		if err != nil {
			fmt.Println(err)
			return
		}
		var back TokenClaims
		err = c.Decode(b, &back)
		fmt.Printf("%-7s %d bytes %+v %v\n", c.Name(), len(b), back, err)
	}
	// Output:
	// msgpack 17 bytes {Subject:u-42 Admin:false} <nil>
	// json    28 bytes {Subject:u-42 Admin:false} <nil>
}

// Text is a codec for types with MarshalText and UnmarshalText.
type Text struct{}

func (Text) Name() string { return "text" }

func (Text) Append(dst []byte, v any) ([]byte, error) {
	m, ok := v.(encoding.TextMarshaler)
	if !ok {
		return dst, fmt.Errorf("text: %T has no MarshalText", v)
	}
	b, err := m.MarshalText()
	return append(dst, b...), err
}

func (Text) Decode(data []byte, v any) error {
	m, ok := v.(encoding.TextUnmarshaler)
	if !ok {
		return fmt.Errorf("text: %T has no UnmarshalText", v)
	}
	return m.UnmarshalText(data) // which must copy what it keeps, by its contract
}

// A codec of one's own works like the built-in ones.
func ExampleCodec_own() {
	addr := netip.MustParseAddr("192.0.2.1")
	b, err := codec.Append(Text{}, nil, &addr)
	fmt.Printf("%s %v\n", b, err)

	back, err := codec.Decode[netip.Addr](Text{}, b)
	fmt.Println(back, err)
	// Output:
	// 192.0.2.1 <nil>
	// 192.0.2.1 <nil>
}

// Msgpack is the compact one.
func Example_msgpack() {
	n := 7
	b, _ := codec.Append(codec.Msgpack, nil, &n)
	fmt.Printf("%x\n", b)
	// Output: 07
}

// JSON is the readable one.
func Example_json() {
	rooms := []string{"lobby", "room-1"}
	b, _ := codec.Append(codec.JSON, nil, &rooms)
	fmt.Printf("%s\n", b)
	// Output: ["lobby","room-1"]
}

// Raw leaves bytes and strings as they are, and refuses the rest.
func Example_raw() {
	s := "as it is"
	b, _ := codec.Append(codec.Raw, nil, &s)
	fmt.Printf("%s\n", b)

	n := 7
	_, err := codec.Append(codec.Raw, nil, &n)
	fmt.Println(err)
	// Output:
	// as it is
	// codec: raw stores []byte and string only, not int; use msgpack or json for it
}

func ExampleAppendScalar() {
	id, claims := "u-42", TokenClaims{}
	b, ok := codec.AppendScalar(codec.Msgpack, nil, &id)
	fmt.Printf("%q %v\n", b, ok)

	_, ok = codec.AppendScalar(codec.Msgpack, nil, &claims)
	fmt.Println(ok)
	// Output:
	// "\xa4u-42" true
	// false
}

func ExampleDecodeScalar() {
	var n int64
	ok := codec.DecodeScalar(codec.JSON, []byte("42"), &n)
	fmt.Println(n, ok)
	// Output: 42 true
}

func ExampleShortString() {
	fmt.Println(codec.ShortString([]byte("\xa4u-42")))
	fmt.Println(codec.ShortString([]byte("\x2a"))) // a number
	// Output:
	// u-42 true
	//  false
}
