package codec_test

import (
	"encoding"
	"errors"
	"fmt"
	"log"
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
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%q\n", b)
	// Output: "\xa4u-42"
}

func ExampleDecode() {
	claims, err := codec.Decode[TokenClaims](codec.JSON, []byte(`{"sub":"u-42","admin":true}`))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%+v\n", claims)

	_, err = codec.Decode[int](codec.JSON, []byte(`{"sub":"u-42","admin":true}`))
	fmt.Println(err)
	// Output:
	// {Subject:u-42 Admin:true}
	// codec: json found an object that does not decode into int: int: found an object, which is no int
}

// The codecs differ in their bytes only.
func ExampleCodec() {
	claims := TokenClaims{Subject: "u-42"}
	for _, c := range []codec.Codec{codec.Msgpack, codec.JSON} {
		b, err := c.Append(nil, &claims)
		if err != nil {
			log.Fatal(err)
		}
		var back TokenClaims
		if err := c.Decode(b, &back); err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%-7s %d bytes %+v\n", c.Name(), len(b), back)
	}
	// Output:
	// msgpack 17 bytes {Subject:u-42 Admin:false}
	// json    28 bytes {Subject:u-42 Admin:false}
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
	if err != nil {
		log.Fatal(err)
	}
	back, err := codec.Decode[netip.Addr](Text{}, b)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s %v\n", b, back == addr)
	// Output: 192.0.2.1 true
}

// Msgpack is the compact one.
func Example_msgpack() {
	n := 7
	b, err := codec.Append(codec.Msgpack, nil, &n)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%x\n", b)
	// Output: 07
}

// JSON is the readable one.
func Example_json() {
	rooms := []string{"lobby", "room-1"}
	b, err := codec.Append(codec.JSON, nil, &rooms)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", b)
	// Output: ["lobby","room-1"]
}

// Raw leaves bytes and strings as they are, and refuses the rest.
func Example_raw() {
	s := "as it is"
	b, err := codec.Append(codec.Raw, nil, &s)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", b)

	n := 7
	_, err = codec.Append(codec.Raw, nil, &n)
	fmt.Println(err)
	// Output:
	// as it is
	// codec: raw stores []byte and string only, not int; use msgpack or json for it
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
		log.Fatal(err)
	}
	c, err := codec.Decode[claims2](claimsCodec, old)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(c)

	// A program that knows only version 1 refuses version 2.
	b, err := codec.Append(codec.Versioned(codec.Msgpack, 2), nil, &c)
	if err != nil {
		log.Fatal(err)
	}
	_, err = codec.Decode[claims2](claimsCodec, b)
	fmt.Println(errors.Is(err, codec.ErrNewer))
	// Output:
	// {ada [user]}
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
		log.Fatal(err)
	}
	c, err := codec.Decode[claims1](v1, b)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(c)
	// Output: {ada}
}

func ExampleBeforeChange() {
	// From JSON to msgpack, in four deploys.
	before := codec.BeforeChange(codec.JSON, codec.Msgpack)
	during := codec.DuringChange(codec.JSON, codec.Msgpack)
	end := codec.EndChange(codec.Msgpack)
	after := codec.AfterChange(codec.Msgpack)

	// Neighbours run at the same time and read each other.
	n := 57
	for _, step := range []struct{ writer, reader codec.Codec }{
		{before, during},
		{during, before},
		{during, end},
		{end, during},
		{end, after},
		{after, end},
	} {
		b, err := codec.Append(step.writer, nil, &n)
		if err != nil {
			log.Fatal(err)
		}
		v, err := codec.Decode[int](step.reader, b)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%x %d\n", b, v)
	}
	// Output:
	// 3537 57
	// c102076d73677061636b39 57
	// c102076d73677061636b39 57
	// c102076d73677061636b39 57
	// c102076d73677061636b39 57
	// 39 57
}

func ExampleCheckType() {
	type connection struct {
		User string
		Done chan struct{}
	}
	fmt.Println(codec.CheckType(codec.Msgpack, reflect.TypeFor[connection]()))
	fmt.Println(codec.CheckType(codec.Msgpack, reflect.TypeFor[[]string]()) == nil)
	// Output:
	// codec: msgpack cannot encode codec_test.connection: connection.Done: chan struct {} cannot be stored
	// true
}

func Example_strict() {
	type claims struct{ Subject string }
	data := []byte(`{"Subject":"u-1","Tenant":"acme"}`)
	for _, c := range []codec.Codec{codec.JSON, codec.JSONStrict} {
		v, err := codec.Decode[claims](c, data)
		fmt.Printf("%q, refused: %t\n", v.Subject, err != nil)
	}
	// Output:
	// "u-1", refused: false
	// "", refused: true
}

func Example_jsonTags() {
	type claims struct {
		Subject string `json:"sub"`
		Secret  string `json:"-"`
	}
	for _, c := range []codec.Codec{codec.Msgpack, codec.MsgpackJSONTags} {
		b, err := codec.Append(c, nil, &claims{"u-1", "s"})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%q\n", b)
	}
	// Output:
	// "\x82\xa7Subject\xa3u-1\xa6Secret\xa1s"
	// "\x81\xa3sub\xa3u-1"
}
