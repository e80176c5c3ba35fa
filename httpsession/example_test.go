package httpsession_test

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/memstore"
	"github.com/sessionkv/store/httpsession"
)

// A site with a login, and a browser that signs in and out.
func Example() {
	if err := signInAndOut(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// hello guest
	// hello ann
	// hello guest
}

func signInAndOut() (err error) {
	const name = store.Key[string]("name")

	backend := memstore.New(nil) // or backends.Open(ctx, "redis://…")
	defer func() { err = errors.Join(err, backend.Close()) }()
	sessions, err := store.New(backend, nil)
	if err != nil {
		return err
	}
	logins, err := httpsession.New(sessions, &httpsession.Options{
		Insecure: true, // for this example only: the test server has no TLS
		IDs:      httpsession.Hashed,
	})
	if err != nil {
		return err
	}

	mux := http.NewServeMux()
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		// after the password was checked:
		if _, err := logins.Login(w, r, name.To(r.FormValue("name"))); err != nil {
			http.Error(w, "try again", http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("POST /logout", func(w http.ResponseWriter, r *http.Request) {
		if err := logins.Logout(w, r); err != nil {
			http.Error(w, "try again", http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		who, err := "guest", error(nil)
		if sess, ok := httpsession.Of(r); ok {
			if who, err = name.GetOr(r.Context(), sess, who); err != nil {
				http.Error(w, "try again", http.StatusServiceUnavailable)
				return
			}
		}
		fmt.Fprintf(w, "hello %s", who)
	})
	srv := httptest.NewServer(logins.Handler(mux))
	defer srv.Close()

	jar, err := cookiejar.New(nil)
	if err != nil {
		return err
	}
	browser := &http.Client{Jar: jar}
	for _, path := range []string{"", "/login?name=ann", "", "/logout", ""} {
		if path != "" {
			resp, err := browser.Post(srv.URL+path, "", nil)
			if err != nil {
				return err
			}
			resp.Body.Close()
			continue
		}
		resp, err := browser.Get(srv.URL)
		if err != nil {
			return err
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			return err
		}
		fmt.Println(string(body))
	}
	return nil
}
