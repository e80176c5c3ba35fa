package redisstore_test

import (
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/redisstore"
	"github.com/sessionkv/store/internal/testserver"
)

// A plain HSET from elsewhere after the end of a session is told as what it is, and
// is not taken for a life.
func TestForeignHashIsNoSession(t *testing.T) {
	server := testserver.Redis(t)
	client := dial(t, server.URL)
	b, err := redisstore.New(client, &redisstore.Options{Namespace: "elsewhere"})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	terms := store.Terms{Lease: time.Minute}
	s, err := b.Create(t.Context(), "id", nil, terms)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Destroy(t.Context()); err != nil {
		t.Fatal(err)
	}
	const name = "elsewhere:id"
	want := map[string]string{"userId": "u-42"}
	if err := client.HSet(t.Context(), name, want).Err(); err != nil {
		t.Fatal(err)
	}
	_, err = b.Create(t.Context(), "id", []store.Entry{{Key: "a", Value: []byte("1")}}, terms)
	if !errors.Is(err, redisstore.ErrNotASession) || errors.Is(err, store.ErrExists) {
		t.Errorf("Create() over a foreign hash = %v, want ErrNotASession", err)
	}
	if err != nil && strings.Contains(err.Error(), name) {
		t.Errorf("Create() = %q, which shows the session's ID", err)
	}
	_, err = b.Attach(t.Context(), "id", terms)
	wantErr(t, "Attach() of a foreign hash", err, store.ErrNoSession)
	_, err = b.Resume(t.Context(), "id", terms)
	wantErr(t, "Resume() of a foreign hash", err, store.ErrNoSession)
	got, err := client.HGetAll(t.Context(), name).Result()
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("the foreign hash afterwards, %v (-want +got):\n%s", err, diff)
	}
	if err := client.Del(t.Context(), name).Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Create(t.Context(), "id", nil, terms); err != nil {
		t.Errorf("Create() after the foreign hash was deleted = %v, want nil", err)
	}
	_, err = b.Create(t.Context(), "id", nil, terms)
	wantErr(t, "Create() of a living session", err, store.ErrExists)
}

// The script of the package comment writes while the life goes on and never after.
func TestGuardedWriteFromElsewhere(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	script := regexp.MustCompile(`(?s)\tif redis\.call\('HGET'.*?return 1\n`).FindString(string(doc))
	if script == "" {
		t.Fatal("doc.go has no script for writes from elsewhere")
	}
	server := testserver.Redis(t)
	client := dial(t, server.URL)
	b, err := redisstore.New(client, &redisstore.Options{Namespace: "elsewhere"})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	const name = "elsewhere:id"
	terms := store.Terms{Lease: time.Minute}
	s, err := b.Create(t.Context(), "id", []store.Entry{{Key: "a", Value: []byte("1")}}, terms)
	if err != nil {
		t.Fatal(err)
	}
	token, err := client.HGet(t.Context(), name, "\x00t").Result()
	if err != nil {
		t.Fatal(err)
	}
	write := func(what, key, value string, want int64) {
		t.Helper()
		got, err := client.Eval(t.Context(), script, []string{name}, token, key, value).Result()
		if err != nil || got != want {
			t.Errorf("script %s = %v, %v, want %d", what, got, err, want)
		}
	}
	write("while the session lives", "a", "2", 1)
	if got, err := s.Get(t.Context(), "a"); err != nil || string(got) != "2" {
		t.Errorf("Get() after the script = %q, %v, want 2", got, err)
	}
	s, err = b.Resume(t.Context(), "id", terms)
	if err != nil {
		t.Fatal(err)
	}
	write("of the life before", "a", "3", 0)
	if err := s.Destroy(t.Context()); err != nil {
		t.Fatal(err)
	}
	write("after the end", "a", "4", 0)
	if n, err := client.Exists(t.Context(), name).Result(); err != nil || n != 0 {
		t.Errorf("EXISTS after the end = %d, %v, want 0", n, err)
	}
}
