package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/testserver"
)

// secretBytes is a secret that differs from others by n.
func secretBytes(n byte) []byte { return append(bytes.Repeat([]byte{0xfb}, 31), n) }

// sealedBench returns a bench whose Sessions seal with these keys.
func sealedBench(t *testing.T, address string, keys ...store.SealingKey) *bench {
	t.Helper()
	b := newBench(t, address)
	b.seal(keys...)
	return b
}

func (b *bench) seal(keys ...store.SealingKey) {
	b.t.Helper()
	ring, err := store.NewKeyRing(keys[0], keys[1:]...)
	if err != nil {
		b.t.Fatal(err)
	}
	sessions, err := store.New(b.backend, &store.Options{Sealer: ring, Indexes: []store.Index{userID.Index(), visits.Index()}, Lease: time.Hour})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { sessions.Close(b.t.Context()) })
	b.sessions = sessions
}

// runKeys runs a command with sealing keys in the environment, and checks that none is shown.
func (b *bench) runKeys(keys string, args ...string) *result {
	b.t.Helper()
	r := runCommand(b.t, []string{"STORE_URL=" + b.url, "STORE_SEALING_KEYS=" + keys}, "", args...)
	for word := range strings.FieldsSeq(keys) {
		if _, secret, _ := strings.Cut(word, ":"); secret != "" && strings.Contains(r.out+r.errOut, secret) {
			b.t.Errorf("%s shows a sealing key:\n%s%s", r.call, r.out, r.errOut)
		}
	}
	return r
}

func testSealed(t *testing.T, address string) {
	first, second := store.SealingKey{ID: 1, Secret: secretBytes(1)}, store.SealingKey{ID: 2, Secret: secretBytes(2)}
	inHex, inBase64 := "1:"+hex.EncodeToString(first.Secret), "2:"+base64.URLEncoding.EncodeToString(second.Secret)
	b := sealedBench(t, address, first)
	old := store.NewID()
	b.create(old, userID.To("u-1"), visits.To(7))
	b.seal(second, first) // the keys are being rotated
	b.create(store.NewID(), userID.To("u-1"))
	b.create(store.NewID(), userID.To("u-2"))

	file := filepath.Join(t.TempDir(), "keys")
	content := fmt.Sprintf("# the keys of chat\r\n\n%s # since May\r\n\t%s", inBase64, inHex)
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	for what, r := range map[string]*result{
		"a file":                   b.run("find", "-sealing-keys", file, "userId", "u-1"),
		"the variable":             b.runKeys(inHex+" "+inBase64, "find", "userId", "u-1"),
		"a file beside a variable": b.runKeys("9:"+hex.EncodeToString(secretBytes(9)), "find", "-sealing-keys", file, "userId", "u-1"),
	} {
		if r.exits(0); strings.Count(r.out, "~") != 2 {
			t.Errorf("find with the keys from %s says\n%swant two sessions", what, r.out)
		}
	}
	b.runKeys(inHex+" "+inBase64, "find", "-type", "int", "visits", "7").exits(0).says("~")
	b.runKeys(inHex+" "+inBase64, "find", "userId", "nobody").exits(0).says("No session has this value")
	b.runKeys(inHex+" "+inBase64, "find", "absent", "nobody").exits(0).says("No session has this value")

	// What does not fit is an error, and ends nothing.
	for keys, want := range map[string]string{
		"": "the values of this key are sealed, and listed under hashes that only their keys make; give -sealing-keys",
		"3:" + hex.EncodeToString(secretBytes(3)):                          "is not in the key ring",
		"1:" + hex.EncodeToString(secretBytes(3)) + " " + "2:" + inHex[2:]: "it was changed, or copied",
	} {
		for _, args := range [][]string{{"find", "userId", "u-2"}, {"find", "-json", "userId", "u-2"}, {"end", "-yes", "-user", "userId", "u-2"}} {
			if r := b.runKeys(keys, args...).exits(1).says("nothing was found", want); r.out != "" {
				t.Errorf("%s writes %q, want nothing", r.call, r.out)
			}
		}
	}
	if n, err := userID.Count(t.Context(), b.sessions, "u-2"); n != 1 || err != nil {
		t.Errorf("Count() after ends with wrong keys = %d, %v, want 1", n, err)
	}

	b.runKeys(inBase64+"\n"+inHex, "end", "-yes", "-user", "userId", "u-1").exits(0).says("2 sessions ended.")
	if b.lives(old) {
		t.Error("a session lives after its user was logged out")
	}
	b.runKeys(inBase64+"\n"+inHex, "end", "-yes", "-user", "userId", "u-1").exits(0).says("0 sessions ended.")

	// Keys for values that are not sealed.
	plain := newBench(t, address)
	plain.create(store.NewID(), userID.To("u-1"))
	plain.runKeys(inHex, "find", "userId", "u-1").exits(1).says("nothing was found", "it is not a sealed value")
	plain.run("find", "userId", "u-1").exits(0).says("~")
}

// Without the right to list sessions nothing is looked at beside what was found.
func TestFindWithoutTheRightToScan(t *testing.T) {
	server := testserver.Redis(t)
	if _, err := server.Do("ACL", "SETUSER", "app", "on", ">pw", "~*", "&*", "+@all", "-scan"); err != nil {
		t.Fatal(err)
	}
	b := sealedBench(t, strings.Replace(server.URL, "redis://", "redis://app:pw@", 1), store.SealingKey{ID: 1, Secret: secretBytes(1)})
	b.create(store.NewID(), userID.To("u-1"))
	b.run("find", "userId", "u-1").exits(0).says("No session has this value")
	b.runKeys("1:"+hex.EncodeToString(secretBytes(1)), "find", "userId", "u-1").exits(0).says("~")
}

// Malformed keys are wrong input, and are not repeated.
func TestWrongSealingKeys(t *testing.T) {
	dir := t.TempDir()
	good := hex.EncodeToString(secretBytes(1))
	for _, tt := range []struct{ keys, want string }{
		{good, "key 1 has not the form ID:SECRET"},
		{"-1:" + good, "key 1 has not the form ID:SECRET"},
		{"4294967296:" + good, "key 1 has not the form ID:SECRET"},
		{"1:" + good + " x:" + good, "key 2 has not the form ID:SECRET"},
		{"1:" + good + " 1:" + good, "sealing key 1 appears twice"},
		{"1:", "the secret of key 1 is not 32 bytes"},
		{"1:" + good[2:], "the secret of key 1 is not 32 bytes"},
		{"1:" + good + ":", "the secret of key 1 is not 32 bytes"},
		{"1:" + strings.Repeat("?", 64), "the secret of key 1 is not 32 bytes"},
		{"\xff\x00", "key 1 has not the form ID:SECRET"},
		{strings.Repeat("x", 70_000), "the file of -sealing-keys cannot be read: it is too large"},
		{"", "the file of -sealing-keys has no key"},
		{"# 1:" + good, "the file of -sealing-keys has no key"},
	} {
		file := filepath.Join(dir, "keys")
		if err := os.WriteFile(file, []byte(tt.keys), 0o600); err != nil {
			t.Fatal(err)
		}
		env := []string{"STORE_URL=redis://127.0.0.1:1"}
		for _, args := range [][]string{{"find", "-sealing-keys", file, "userId", "u"}, {"end", "-yes", "-sealing-keys", file, "-user", "userId", "u"}} {
			if r := runCommand(t, env, "", args...).exits(2).says(tt.want); strings.Contains(r.errOut, good[:16]) {
				t.Errorf("%s repeats what may be a key: %s", r.call, r.errOut)
			}
		}
		if len(tt.keys) > 0 && len(tt.keys) < 1000 && !strings.Contains(tt.keys, "\x00") && tt.keys[0] != '#' {
			runCommand(t, append(env, "STORE_SEALING_KEYS="+tt.keys), "", "find", "userId", "u").exits(2).says("STORE_SEALING_KEYS", tt.want)
		}
	}
	for _, name := range []string{"1:" + good, dir} {
		if r := runCommand(t, []string{"STORE_URL=redis://127.0.0.1:1"}, "", "find", "-sealing-keys", name, "userId", "u").exits(2).says("cannot be read"); strings.Contains(r.errOut, good) {
			t.Errorf("%s repeats what may be a key: %s", r.call, r.errOut)
		}
	}
}
