package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/keyspace"
	"github.com/sessionkv/store/internal/testserver"
)

var nameForm = regexp.MustCompile(`^~[a-z2-7]{16}$`)

// Every command does on every store what its help says.
func TestCommands(t *testing.T) {
	stores(t, func(t *testing.T, address string) {
		t.Run("check", func(t *testing.T) { testCheck(newBench(t, address)) })
		t.Run("ls", func(t *testing.T) { testLs(newBench(t, address)) })
		t.Run("show", func(t *testing.T) { testShow(newBench(t, address)) })
		t.Run("find", func(t *testing.T) { testFind(newBench(t, address)) })
		t.Run("sealed", func(t *testing.T) { testSealed(t, address) })
		t.Run("end", func(t *testing.T) { testEnd(newBench(t, address)) })
		t.Run("stats", func(t *testing.T) { testStats(newBench(t, address)) })
		t.Run("watch", func(t *testing.T) { testWatch(newBench(t, address)) })
		t.Run("dump and restore", func(t *testing.T) { testDump(newBench(t, address), newBench(t, address)) })
	})
}

func testCheck(b *bench) {
	b.run("check").exits(0).says("The store does what sessions need", b.backend.Namespace())
	got := runCommand(b.t, nil, "", "check", "-json", b.url).exits(0).objects()
	if len(got) != 1 || got[0]["ok"] != true || got[0]["namespace"] != b.backend.Namespace() || got[0]["scan"] != "yes" || got[0]["indexes"] != "yes" {
		b.t.Errorf("check -json = %v, want ok, the namespace, and yes to scan and indexes", got)
	}
}

func testLs(b *bench) {
	b.run("ls").exits(0)
	if r := b.run("ls"); r.out != "" {
		b.t.Errorf("ls of no session says %q, want nothing", r.out)
	}
	var ids []string
	for i := range 40 {
		id := store.NewID()
		if i%10 == 0 {
			id = "odd:" + id + "\x00\xff%"
		}
		ids = append(ids, id)
		b.create(id, userID.To("u"), visits.To(i))
	}
	slices.Sort(ids)

	got := b.run("ls", "-json").exits(0).objects()
	names := make(map[string]bool)
	for _, o := range got {
		name, _ := o["session"].(string)
		left, _ := o["left_ms"].(float64)
		if !nameForm.MatchString(name) || left <= 0 || left > 3700e3 || o["id"] != nil || o["keys"] != nil {
			b.t.Errorf("ls -json has %v, want a name, left_ms up to an hour, and nothing else", o)
		}
		names[name] = true
	}
	if len(got) != len(ids) || len(names) != len(ids) {
		b.t.Errorf("ls -json has %d lines and %d names, want %d of each", len(got), len(names), len(ids))
	}

	var listed []string
	for _, o := range b.run("ls", "-json", "-ids", "-long").exits(0).objects() {
		id, ok := keyspace.Unescape(o["id"].(string))
		if !ok || o["keys"] != 3.0 || o["bytes"].(float64) < 4 { // the third is that of the index
			b.t.Errorf("ls -json -ids -long has %v, want an ID, 3 keys and their bytes", o)
		}
		listed = append(listed, id)
	}
	slices.Sort(listed)
	if diff := cmp.Diff(ids, listed); diff != "" {
		b.t.Errorf("ls -ids differs from what lives (-want +got):\n%s", diff)
	}

	table := b.run("ls", "-long").exits(0).says("SESSION", "TIME LEFT", "KEYS", "BYTES")
	if n := strings.Count(table.out, "\n"); n != len(ids)+1 {
		b.t.Errorf("ls -long has %d lines, want %d and a head", n, len(ids))
	}
	if n := len(b.run("ls", "-json", "-limit", "7").exits(0).objects()); n != 7 {
		b.t.Errorf("ls -limit 7 has %d lines", n)
	}
}

func testShow(b *bench) {
	id := store.NewID()
	b.create(id, userID.To("u-42 \x1b[31m"), visits.To(-3), claims.To(map[string]any{"admin": true}), blob.To([]byte{0, 0xff}))
	plain := b.run("show", id).exits(0).says("userId", "msgpack", `"u-42 \u001b[31m"`, "-3", `{"admin":true}`, "json", `{"$bytes":"AP8="}`)
	if strings.Contains(plain.out, "\x1b") {
		b.t.Errorf("show writes an escape sequence that a value has: %q", plain.out)
	}
	o := b.run("show", "-json", id).exits(0).objects()[0]
	got := make(map[string]any)
	for _, v := range o["values"].([]any) {
		got[v.(map[string]any)["key"].(string)] = v.(map[string]any)["value"]
	}
	want := map[string]any{
		"userId": "u-42 \x1b[31m", "visits": -3.0, "claims": map[string]any{"admin": true}, "blob": map[string]any{"$bytes": "AP8="},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		b.t.Errorf("show -json (-want +got):\n%s", diff)
	}
	name := o["session"].(string)
	b.run("show", name).exits(0).says("userId")
	b.runWith(id+"\n", "show", "-").exits(0).says("userId")
	b.runWith(name+"\r\n\n", "show", "-").exits(0).says("userId")
	file := filepath.Join(b.t.TempDir(), "id")
	if err := os.WriteFile(file, []byte(id), 0o600); err != nil {
		b.t.Fatal(err)
	}
	b.run("show", "@"+file).exits(0).says("userId")
	b.run("show", "-ids", id).exits(0).says(id)
	b.runWith(id+"\n"+store.NewID(), "show", "-").exits(2)
	inKey := store.NewID()
	b.create(inKey, store.Key[int]("room of "+inKey).To(7))
	b.run("show", inKey).exits(0).says("(a key that has the session's ID)", "7")
	b.run("show", "-json", inKey).exits(0).says("(a key that has the session's ID)")
	b.run("stats", "-keys").exits(0).says("(a key that has the session's ID)")
	b.run("stats", "-keys", "-ids").exits(0).says("room of " + inKey)
	b.run("show", store.NewID()).exits(1).says("no such session lives")
	b.run("show", "~aaaaaaaaaaaaaaaa").exits(1).says("no such session lives")

	odd := "odd:id\x00" + store.NewID()
	b.create(odd, userID.To("my ID is "+odd), visits.To(1))
	b.run("show", keyspace.Escape(odd)).exits(0).says("$omitted", "visits")
	b.run("show", "-ids", keyspace.Escape(odd)).exits(0).says(keyspace.Escape(odd))
	b.runWith("", "show", "odd:id").exits(1)

	ring, err := store.NewKeyRing(store.SealingKey{ID: 1, Secret: make([]byte, 32)})
	if err != nil {
		b.t.Fatal(err)
	}
	sealing, err := store.New(b.backend, &store.Options{Sealer: ring, Lease: time.Hour})
	if err != nil {
		b.t.Fatal(err)
	}
	defer sealing.Close(b.t.Context())
	sealed := store.NewID()
	b.secrets = append(b.secrets, sealed)
	if _, err := sealing.Create(b.t.Context(), sealed, userID.To("secret user")); err != nil {
		b.t.Fatal(err)
	}
	if r := b.run("show", sealed).exits(0).says("sealed"); strings.Contains(r.out, "secret user") {
		b.t.Errorf("show opens a sealed value:\n%s", r.out)
	}
}

func testFind(b *bench) {
	var want []string
	for i := range 6 {
		id := store.NewID()
		b.create(id, userID.To(fmt.Sprint("u-", i%2)))
		if i%2 == 0 {
			want = append(want, id)
		}
	}
	slices.Sort(want)
	var got []string
	for _, o := range b.run("find", "-json", "-ids", "userId", "u-0").exits(0).objects() {
		got = append(got, o["id"].(string))
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		b.t.Errorf("find (-want +got):\n%s", diff)
	}
	if r := b.run("find", "userId", "u-0", "-long").exits(0).says("SESSION", "KEYS"); strings.Count(r.out, "~") != 3 {
		b.t.Errorf("find says\n%s\nwant three names", r.out)
	}
	b.run("find", "userId", "--", "-1").exits(0).says("No session has this value")
	b.run("find", "-type", "int", "visits", "5").exits(0).says("No session has this value")
	if r := b.run("find", "-json", "userId", "nobody").exits(0); r.out != "" {
		b.t.Errorf("find -json of nobody = %q, want nothing", r.out)
	}
}

func testEnd(b *bench) {
	ids := make([]string, 8)
	for i := range ids {
		ids[i] = store.NewID()
		b.create(ids[i], userID.To(fmt.Sprint("u-", i%2)))
	}
	b.run("end", ids[0]).exits(2).says("give -yes")
	b.runWith("y\n", "end", ids[0]).exits(2).says("give -yes")
	if !b.lives(ids[0]) {
		b.t.Error("end without -yes and a terminal has ended a session")
	}
	b.run("end", "-yes", ids[0]).exits(0).says("1 session ended.")
	b.runWith(ids[2]+"\n"+ids[4], "end", "-", "-yes").exits(0).says("2 sessions ended.")
	missing := b.run("end", "-yes", "-json", ids[0], ids[6], "~aaaaaaaaaaaaaaaa").exits(1).says("2 of 3 sessions did not live")
	o := missing.objects()[0]
	if o["ended"] != 1.0 || len(o["missing"].([]any)) != 2 {
		b.t.Errorf("end -json of one that lives and two that do not = %v", o)
	}
	for i, id := range ids {
		if got, want := b.lives(id), i%2 == 1; got != want {
			b.t.Errorf("session %d lives: %t, want %t", i, got, want)
		}
	}
	b.run("end", "--user", "userId", "u-1").exits(2).says("give -yes")
	b.run("end", "--user", "userId", "u-1", "--yes").exits(0).says("4 sessions ended.")
	b.run("end", "--user", "userId", "u-1", "--yes", "-json").exits(0).says(`{"ended":0}`)
	for i, id := range ids {
		if b.lives(id) {
			b.t.Errorf("session %d lives after its user was logged out", i)
		}
	}
}

func testStats(b *bench) {
	b.run("stats").exits(0).says("Sessions", "0")
	for i := range 5 {
		b.create(store.NewID(), userID.To("u"), visits.To(i))
	}
	b.run("stats").exits(0).says("Namespace", b.backend.Namespace(), "5", "median")
	b.run("stats", "-keys").exits(0).says("KEY", "userId", "visits", "(index)")
	o := b.run("stats", "-json", "-keys").exits(0).objects()[0]
	if o["sessions"] != 5.0 || len(o["keys"].([]any)) != 3 || o["time_left_ms"] == nil {
		b.t.Errorf("stats -json -keys = %v, want 5 sessions with 3 keys and their time left", o)
	}
}

func testWatch(b *bench) {
	gone := b.create(store.NewID())
	b.create(store.NewID())
	cmd := exec.CommandContext(b.t.Context(), program, "watch", "-interval", "100ms", "-json")
	cmd.Env = append(os.Environ(), "STORE_URL="+b.url)
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	next := func() (s struct{ Sessions, Came, Gone int }) {
		b.t.Helper()
		if !lines.Scan() {
			b.t.Fatal("watch ends")
		}
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			b.t.Fatal(err)
		}
		return s
	}
	if s := next(); s.Sessions != 2 || s.Came != 0 {
		b.t.Errorf("watch -json = %+v, want 2 sessions", s)
	}
	if err := gone.Destroy(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	for range 3 {
		b.create(store.NewID())
	}
	came, left := 0, 0
	for came < 3 || left < 1 {
		s := next()
		came, left = came+s.Came, left+s.Gone
	}
	// Ctrl-C.
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		b.t.Fatal(err)
	}
	for lines.Scan() {
	}
	if err := cmd.Wait(); err != nil {
		b.t.Errorf("watch that is interrupted = %v, want exit code 0", err)
	}
	b.run("watch", "-count", "2", "-interval", "100ms").exits(0).says("TIME", "SESSIONS", "CAME")
}

// testDump moves sessions from one namespace to another and back over themselves.
func testDump(b, other *bench) {
	ctx := b.t.Context()
	value := make([]byte, 256)
	for i := range value {
		value[i] = byte(i)
	}
	ids := []string{store.NewID(), "odd:%\x00" + store.NewID(), store.NewID()}
	b.create(ids[0], userID.To("u"), blob.To(value), visits.To(1))
	b.create(ids[1], blob.To([]byte{}))
	short := b.create(ids[2])
	if err := short.Suspend(ctx, 10*time.Minute); err != nil {
		b.t.Fatal(err)
	}
	b.run("dump").exits(2).says("give -ids")

	file := filepath.Join(b.t.TempDir(), "dump")
	b.run("dump", "-ids", "-o", file).exits(0).says("3 sessions dumped.")
	b.run("dump", "-ids", "-o", file).exits(2).says("exists")
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		b.t.Errorf("the file of the dump = %v, %v, want one that only its owner can read", info.Mode(), err)
	}
	dumped := b.run("dump", "-ids").exits(0)
	if lines := dumped.objects(); len(lines) != 5 || lines[4]["end"] != true || lines[4]["sessions"] != 3.0 {
		b.t.Errorf("dump = %s, want a head, 3 sessions and an end", dumped.out)
	}

	// Into another namespace.
	r := other.runWith(dumped.out, "restore").exits(2).says("-other-namespace")
	if strings.Contains(r.errOut, ids[0]) {
		b.t.Error("restore shows an ID")
	}
	other.secrets = ids
	other.runWith(dumped.out, "restore", "-other-namespace").exits(0).says("3 sessions restored.")
	for _, id := range ids {
		was, err := b.backend.Attach(ctx, id, store.Terms{})
		if err != nil {
			b.t.Fatal(err)
		}
		is, err := other.backend.Attach(ctx, id, store.Terms{})
		if err != nil {
			b.t.Fatalf("Attach() of a restored session = %v", err)
		}
		before, after := entriesOf(b, was), entriesOf(b, is)
		delete(before, reserved+"index")
		if diff := cmp.Diff(before, after); diff != "" {
			b.t.Errorf("a restored session (-want +got):\n%s", diff)
		}
		left, want := leftOf(b, other.backend, is), leftOf(b, b.backend, was)
		if d := left - want; d < -time.Minute || d > time.Minute {
			b.t.Errorf("a restored session has %v left, want about %v", left, want)
		}
	}
	// What lives is left alone, and then not.
	s, err := other.backend.Resume(ctx, ids[0], store.Terms{Lease: time.Hour})
	if err != nil {
		b.t.Fatal(err)
	}
	if err := s.Set(ctx, "new", []byte("x")); err != nil {
		b.t.Fatal(err)
	}
	other.run("restore", "-other-namespace", file).exits(0).says("0 sessions restored, 3 left alone")
	if v, err := s.Get(ctx, "new"); string(v) != "x" || err != nil {
		b.t.Errorf("Get() after a restore that leaves it alone = %q, %v", v, err)
	}
	got := other.run("restore", "-other-namespace", "-overwrite", "-json", file).exits(0).objects()[0]
	if got["restored"] != 3.0 || got["overwritten"] != 3.0 || got["left_alone"] != 0.0 {
		b.t.Errorf("restore -overwrite -json = %v, want 3 over living ones", got)
	}
	if _, err := s.Get(ctx, "new"); err == nil {
		b.t.Error("the owner of a session that was overwritten can go on")
	}
	if is, err := other.backend.Attach(ctx, ids[0], store.Terms{}); err != nil || entriesOf(b, is)["new"] != "" || entriesOf(b, is)["blob"] == "" {
		b.t.Errorf("a session that was overwritten has %v, %v, want the values of the dump alone", entriesOf(b, is), err)
	}

	// A session that has ended comes back into its own namespace, where an index finds it when a process has it.
	b.run("end", "-yes", keyspace.Escape(ids[0])).exits(0)
	b.run("restore", file).exits(0).says("1 session restored, 2 left alone")
	if _, err := b.sessions.Resume(ctx, ids[0]); err != nil {
		b.t.Fatal(err)
	}
	resumed, err := b.sessions.Attach(ctx, ids[0])
	if err != nil {
		b.t.Fatal(err)
	}
	if err := visits.Set(ctx, resumed, 2); err != nil {
		b.t.Fatal(err)
	}
	if err := userID.Set(ctx, resumed, "u"); err != nil {
		b.t.Fatal(err)
	}
	if n, err := userID.Count(ctx, b.sessions, "u"); n != 1 || err != nil {
		b.t.Errorf("Count() after a restore and a write = %d, %v, want 1", n, err)
	}
}

func entriesOf(b *bench, s store.Store) map[string]string {
	b.t.Helper()
	entries, err := valuesOf(b.t.Context(), s)
	if err != nil {
		b.t.Fatal(err)
	}
	all := make(map[string]string)
	for _, e := range entries {
		all[e.Key] = base64.StdEncoding.EncodeToString(e.Value) + "."
	}
	return all
}

func leftOf(b *bench, backend store.Backend, s store.Store) time.Duration {
	b.t.Helper()
	x, err := store.AsIndexer(backend)
	if err != nil {
		b.t.Fatal(err)
	}
	left, err := x.TimeLeft(b.t.Context(), s)
	if err != nil {
		b.t.Fatal(err)
	}
	return left
}

// One session that cannot be read hides no other.
func TestUnreadable(t *testing.T) {
	server := testserver.SharedRedis(t)
	b := newBench(t, server.URL)
	id := store.NewID()
	b.create(id, userID.To("u"))
	name := b.backend.Namespace() + ":" + store.NewID()
	if _, err := server.Do("HSET", name, "\x00t", "no token"); err != nil {
		t.Fatal(err)
	}
	defer server.Do("DEL", name)
	const why = "1 session could not be read; the first error: "
	if r := b.run("ls").exits(1).says(why); strings.Count(r.out, "~") != 1 {
		t.Errorf("ls beside a session that cannot be read says\n%s\nwant the other one", r.out)
	}
	b.run("stats").exits(1).says("Sessions", "1", why)
	dumped := b.run("dump", "-ids").exits(1).says(why)
	if lines := dumped.objects(); len(lines) != 3 || lines[2]["sessions"] != 1.0 {
		t.Errorf("dump = %s, want a head, one session and an end", dumped.out)
	}
	b.runWith(dumped.out, "restore").exits(0).says("1 left alone")
}

// A command that runs while a primary of a Cluster dies goes on with the one that takes its place.
func TestFailover(t *testing.T) {
	c := testserver.RedisCluster(t)
	b := newBench(t, "redis+cluster://"+strings.Join(c.Addrs[:3], ",")+"?wait=1")
	const n = 60
	for range n {
		b.create(store.NewID())
	}
	cmd := exec.CommandContext(t.Context(), program, "watch", "-interval", "100ms", "-json")
	cmd.Env = append(os.Environ(), "STORE_URL="+b.url)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	count := func() (s struct{ Sessions int }) {
		t.Helper()
		if !lines.Scan() {
			t.Fatal("watch ends")
		}
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	if s := count(); s.Sessions != n {
		t.Fatalf("watch counts %d sessions, want %d", s.Sessions, n)
	}
	c.Kill(0)
	for range 3 { // the server may be away for a line, and then there is none
		if s := count(); s.Sessions != n {
			t.Errorf("watch counts %d sessions while a primary is replaced, want %d or none", s.Sessions, n)
		}
	}
	cmd.Process.Signal(syscall.SIGINT)
	for lines.Scan() {
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("watch that is interrupted = %v, want exit code 0", err)
	}
	b.run("stats", "-json").exits(0).says(fmt.Sprintf(`"sessions":%d`, n))
}
