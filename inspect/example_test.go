package inspect_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/memstore"
	"github.com/sessionkv/store/codec"
	"github.com/sessionkv/store/inspect"
)

// What a session holds is written to a terminal, without the types of its keys.
func ExampleDump() {
	if err := writeValues(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// profile (json, 25 bytes): {
	//   "city": "Ulm",
	//   "visits": 3
	// }
	// seen (msgpack, 6 bytes): <2026-11-27T00:00:00Z>
	// userId (msgpack, 5 bytes): "u-42"
}

func writeValues() (err error) {
	type profile struct {
		City   string `json:"city"`
		Visits int    `json:"visits"`
	}
	ctx := context.Background()
	backend := memstore.New(nil)
	defer func() { err = errors.Join(err, backend.Close()) }()
	sessions, err := store.New(backend, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sessions.Close(ctx)) }()
	sess, err := sessions.Create(ctx, store.NewID(),
		store.Key[string]("userId").To("u-42"),
		store.Key[time.Time]("seen").To(time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)),
		store.Key[profile]("profile").With(codec.JSON).To(profile{"Ulm", 3}),
	)
	if err != nil {
		return err
	}

	values, err := inspect.Dump(ctx, sess)
	if err != nil {
		return err
	}
	for _, v := range values {
		fmt.Printf("%s (%s, %d bytes): %s\n", v.Key, v.Encoding, v.Size, v.Text())
	}
	return nil
}

// Operators look at the sessions of a process; a header takes the place of a log-in here.
func ExampleHandler() {
	if err := lookAtSessions(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// a client: 403 Forbidden
	// an operator: 200 OK
	// the user: true, the token: false
}

func lookAtSessions() (err error) {
	ctx := context.Background()
	backend := memstore.New(nil)
	defer func() { err = errors.Join(err, backend.Close()) }()
	sessions, err := store.New(backend, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sessions.Close(ctx)) }()
	if _, err := sessions.Create(ctx, store.NewID(),
		store.Key[string]("userId").To("u-42"),
		store.Key[string]("accessToken").To("eyJhbGciOi"),
	); err != nil {
		return err
	}

	page, err := inspect.Handler(sessions, func(r *http.Request) error {
		if r.Header.Get("X-Operator") == "" {
			return errors.New("operators only")
		}
		return nil
	}, &inspect.Options{Title: "Sessions of chat-1"})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/debug/sessions", page)
	server := httptest.NewServer(mux)
	defer server.Close()

	for _, who := range []string{"a client", "an operator"} {
		r, err := http.NewRequestWithContext(ctx, "GET", server.URL+"/debug/sessions", nil)
		if err != nil {
			return err
		}
		if who == "an operator" {
			r.Header.Set("X-Operator", "yes")
		}
		res, err := server.Client().Do(r)
		if err != nil {
			return err
		}
		body, err := io.ReadAll(res.Body)
		if err := errors.Join(err, res.Body.Close()); err != nil {
			return err
		}
		fmt.Printf("%s: %s\n", who, res.Status)
		if who == "an operator" {
			fmt.Printf("the user: %t, the token: %t\n", strings.Contains(string(body), "u-42"), strings.Contains(string(body), "eyJ"))
		}
	}
	return nil
}
