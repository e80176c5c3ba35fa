package codec_test

import (
	"encoding"
	"errors"
	"fmt"
	"net/netip"
	"reflect"

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

func ExampleVersioned() {
	type claims1 struct{ User string }
	type claims2 struct {
		User  string
		Roles []string
	}
	upgrade := codec.From(0, func(c claims1) (claims2, error) {
		return claims2{User: c.User, Roles: []string{"user"}}, nil
	})
	claimsCodec := codec.Versioned(codec.Msgpack, 1, upgrade)

	// What a program before the change wrote has no mark.
	old, err := codec.Append(codec.Msgpack, nil, &claims1{User: "ada"})
	if err != nil {
		fmt.Println(err)
		return
	}
	c, err := codec.Decode[claims2](claimsCodec, old)
	fmt.Println(c, err)

	// A program that knows only version 1 refuses version 2.
	b, err := codec.Append(codec.Versioned(codec.Msgpack, 2), nil, &c)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = codec.Decode[claims2](claimsCodec, b)
	fmt.Println(errors.Is(err, codec.ErrNewer))
	// Output:
	// {ada [user]} <nil>
	// true
}

func ExampleBack() {
	type claims1 struct{ User string }
	type claims2 struct{ User, Tenant string }

	// The program of version 1, which still runs while version 2 is rolled out.
	v1 := codec.Versioned(codec.JSON, 1, codec.Back(2, func(c claims2) (claims1, error) {
		return claims1{User: c.User}, nil
	}))
	b, err := codec.Append(codec.Versioned(codec.JSON, 2), nil, &claims2{"ada", "acme"})
	if err != nil {
		fmt.Println(err)
		return
	}
	c, err := codec.Decode[claims1](v1, b)
	fmt.Println(c, err)
	// Output: {ada} <nil>
}

func ExampleBeforeChange() {
	// From JSON to msgpack, in three deploys.
	before := codec.BeforeChange(codec.JSON, codec.Msgpack)
	during := codec.DuringChange(codec.JSON, codec.Msgpack)
	after := codec.AfterChange(codec.Msgpack)

	n := 57
	for _, step := range []struct{ writer, reader codec.Codec }{{before, during}, {during, before}, {during, after}, {after, after}} {
		b, err := codec.Append(step.writer, nil, &n)
		if err != nil {
			fmt.Println(err)
			return
		}
		v, err := codec.Decode[int](step.reader, b)
		fmt.Printf("%x %d %v\n", b, v, err)
	}
	// Output:
	// 3537 57 <nil>
	// c102076d73677061636b39 57 <nil>
	// c102076d73677061636b39 57 <nil>
	// 39 57 <nil>
}

func ExampleCheckType() {
	type connection struct {
		User string
		Done chan struct{}
	}
	fmt.Println(codec.CheckType(codec.Msgpack, reflect.TypeFor[connection]()))
	fmt.Println(codec.CheckType(codec.Msgpack, reflect.TypeFor[[]string]()))
	// Output:
	// codec: msgpack cannot encode codec_test.connection: connection.Done: chan struct {} cannot be stored
	// <nil>
}

func Example_strict() {
	type claims struct{ Subject string }
	data := []byte(`{"Subject":"u-1","Tenant":"acme"}`)
	for _, c := range []codec.Codec{codec.JSON, codec.JSONStrict} {
		v, err := codec.Decode[claims](c, data)
		fmt.Printf("%q %v\n", v.Subject, err != nil)
	}
	// Output:
	// "u-1" false
	// "" true
}

func Example_jsonTags() {
	type claims struct {
		Subject string `json:"sub"`
		Secret  string `json:"-"`
	}
	for _, c := range []codec.Codec{codec.Msgpack, codec.MsgpackJSONTags} {
		b, err := codec.Append(c, nil, &claims{"u-1", "s"})
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%q\n", b)
	}
	// Output:
	// "\x82\xa7Subject\xa3u-1\xa6Secret\xa1s"
	// "\x81\xa3sub\xa3u-1"
}
