package redisstore_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/redisstore"
	"github.com/sessionkv/store/internal/testserver"
)

// The layout is a wire format: other nodes, other versions and other programs
// read it.
func TestLayout(t *testing.T) {
	server := testserver.SharedRedis(t)
	b := open(t, dial(t, server.URL), redisstore.Options{Namespace: "layout"})
	const id = "u:{1}/é"
	s, err := b.Create(t.Context(), id, []store.Entry{{Key: "userId", Value: []byte("\xa4u-42")}, {Key: "empty", Value: []byte{}}, {Key: "absent"}}, store.Terms{Lease: lease})
	if err != nil {
		t.Fatalf("Create() = %v", err)
	}
	t.Cleanup(func() { s.Destroy(t.Context()) })
	const name = "layout:u%3A%7B1%7D%2F%C3%A9"
	read := func() map[string]string {
		all, err := server.Do("HGETALL", name)
		if err != nil {
			t.Fatal(err)
		}
		fields := make(map[string]string)
		for list := all.([]any); len(list) > 0; list = list[2:] {
			fields[list[0].(string)] = list[1].(string)
		}
		return fields
	}
	fields := read()
	if n := len(fields["\x00t"]); n != 22 {
		t.Errorf("the token has %d bytes, want 22", n)
	}
	delete(fields, "\x00t")
	if diff := cmp.Diff(map[string]string{"userId": "\xa4u-42", "empty": ""}, fields); diff != "" {
		t.Errorf("fields of the hash (-want +got):\n%s", diff)
	}
	if _, err := store.Commit(t.Context(), s, nil, []store.Entry{{Key: "userId"}}); err != nil {
		t.Fatalf("Commit() = %v", err)
	}
	fields = read()
	if n := len(fields["\x00c"]); n != 22 {
		t.Errorf("the mark of a commit has %d bytes, want 22", n)
	}
	delete(fields, "\x00t")
	delete(fields, "\x00c")
	if diff := cmp.Diff(map[string]string{"empty": ""}, fields); diff != "" {
		t.Errorf("fields of the hash after a commit (-want +got):\n%s", diff)
	}
}

func TestRedisCLIReadsASession(t *testing.T) {
	cli, err := exec.LookPath("redis-cli")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("redis-cli not found: install redis-tools")
		}
		t.Skip("redis-cli not found: install redis-tools")
	}
	server := testserver.SharedRedis(t)
	b := open(t, dial(t, server.URL), redisstore.Options{})
	id, s := create(t, b)
	if err := s.Set(t.Context(), "userId", []byte(`"u-42"`)); err != nil {
		t.Fatalf("Set() = %v", err)
	}
	out, err := exec.CommandContext(t.Context(), cli, "-u", server.URL, "--raw", "HGET", b.Namespace()+":"+id, "userId").Output()
	if got, want := strings.TrimSpace(string(out)), `"u-42"`; err != nil || got != want {
		t.Errorf("redis-cli HGET = %q, %v, want %q", got, err, want)
	}
}

// What another application keeps under the namespace is not touched.
func TestForeignKey(t *testing.T) {
	server := testserver.SharedRedis(t)
	b := open(t, dial(t, server.URL), redisstore.Options{})
	mustDo := func(args ...string) any {
		t.Helper()
		got, err := server.Do(args...)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	id := store.NewID()
	name := b.Namespace() + ":" + id
	for _, op := range operations {
		switch op.name {
		case "Attach", "Resume", "Create":
			mustDo("SET", name, "foreign", "PX", "60000")
			err := op.run(t.Context(), b, id, nil)
			if err == nil || !strings.Contains(err.Error(), "taken by a key that is no hash") {
				t.Errorf("%s on a foreign string = %v, want an error that says so", op.name, err)
			} else {
				wantSilent(t, err, id)
			}
			if got := mustDo("GET", name); got != "foreign" {
				t.Errorf("%s left %q of a foreign string", op.name, got)
			}

			mustDo("DEL", name)
			mustDo("HSET", name, "f", "foreign")
			if err := op.run(t.Context(), b, id, nil); err == nil {
				t.Errorf("%s on a foreign hash = nil, want an error", op.name)
			}
			if got := mustDo("HLEN", name); got != int64(1) {
				t.Errorf("%s left %v fields of a foreign hash, want 1", op.name, got)
			}
			mustDo("DEL", name)
		}
	}
}
