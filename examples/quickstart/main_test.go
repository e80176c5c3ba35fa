package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRun(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), "memory:", &out); err != nil {
		t.Fatalf("run(memory:) = %v, want nil", err)
	}
	want := `UserID.Get            "u-42", a string
store.Load            "acme" and {Issuer:login Admin:true}
Visits.Update, thrice 3
after Tenant.Delete   store: get "tenant": no value under this key (ErrNotFound: true)
after sess.Destroy    store: set "userId": the session has ended (ErrDestroyed: true)
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("run(memory:) printed (-want +got):\n%s", diff)
	}
}

func TestRunRefusesUnknownStore(t *testing.T) {
	var out bytes.Buffer
	err := run(t.Context(), "nosuchstore://:secret@localhost", &out)
	if err == nil {
		t.Fatal("run(nosuchstore:) = nil, want an error")
	}
	if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "\n") {
		t.Errorf("run(nosuchstore:) = %q, want one line without the password", err)
	}
}
