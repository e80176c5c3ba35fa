package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/testserver"
)

// secret represents a session ID that somebody typed in a wrong place.
const secret = "MFRGGZDFMZTWQ2LKNNWG23TPOA"

// Wrong input is one clear line and exit code 2, before any server is asked.
func TestWrongInput(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const nowhere = "redis://127.0.0.1:1"
	for _, tt := range []struct {
		args  string // separated by spaces
		stdin string
		url   string
		want  string
	}{
		{args: "frobnicate", want: "unknown command frobnicate"},
		{args: secret, want: "unknown command; "},
		{args: "help frobnicate", want: "unknown command frobnicate"},
		{args: "help ls ls", want: "help: it takes a COMMAND and nothing more"},
		{args: "ls", url: "-", want: "no store is named; set STORE_URL"},
		{args: "ls " + secret, want: "ls: it takes no argument"},
		{args: "ls -frob", want: "unknown flag -frob"},
		{args: "ls -" + secret, want: "unknown flag; see"},
		{args: "ls -limit", want: "the flag -limit needs a value"},
		{args: "ls -limit " + secret, want: "the value of the flag -limit does not fit: it is a number"},
		{args: "ls -limit -1", want: "-limit is a number from 0 on"},
		{args: "ls -json=" + secret, want: "the value of the flag -json does not fit: it is true or false"},
		{args: "ls ---x", want: "stands behind --"},
		{args: "ls", url: "memory:", want: "a memory store lies within its process"},
		{args: "ls", url: "redis://:pass word@host:port", want: "ls: redis: host number 1 has a malformed port"},
		{args: "ls", url: "frob://host", want: "cannot use the store URL"},
		{args: "ls", url: "redis://localhost/0?frob=1", want: "ls: redis: unknown parameter"},
		{args: "ls -url redis://localhost/0?namespace=a:b", want: "ls: redis: parameter namespace"},
		{args: "check a b", want: "check: it takes a URL and nothing more"},
		{args: "check -url a b", want: "the URL is given twice"},
		{args: "show", want: "show: it takes an ID"},
		{args: "show a b", want: "show: it takes an ID and nothing more"},
		{args: "show -", want: "no session ID was given"},
		{args: "show -", stdin: "\n\n", want: "no session ID was given"},
		{args: "show -", stdin: "a\nb\n", want: "it shows one session, and 2 were named"},
		{args: "show -", stdin: strings.Repeat("x", 5000), want: "longer than an ID can be"},
		{args: "show " + strings.Repeat("x", 513), want: "session 1 has no usable ID: it has 513 bytes"},
		{args: "show " + secret + "%3a", want: "session 1 has no usable ID: it has a %"},
		{args: "show ~" + secret, want: "session 1 begins with ~"},
		{args: "show @" + filepath.Join(dir, secret), want: "the file of argument 1 cannot be read"},
		{args: "show @" + file("empty", ""), want: "no session ID was given"},
		{args: "show -codec frob " + secret, want: "the codec is msgpack, json or raw"},
		{args: "find userId", want: "find: it takes a KEY and a VALUE"},
		{args: "find userId a b", want: "and nothing more"},
		{args: "find -type float userId 1", want: "the type is string, int, bool or bytes"},
		{args: "find -type int userId " + secret, want: "the value is no integer"},
		{args: "find -type bool userId maybe", want: "the value is no bool"},
		{args: "find -type bytes userId abc", want: "two hexadecimal digits"},
		{args: "find -codec raw -type int userId 1", want: "the codec raw has strings and bytes only"},
		{args: "find \x01 u", want: "the key cannot be used"},
		{args: "end", want: "end: it takes one ID or more"},
		{args: "end " + secret, want: "give -yes"},
		{args: "end -", stdin: secret, want: "give -yes"},
		{args: "end -yes - -", stdin: secret, want: "give - once"},
		{args: "end -yes -user userId", want: "with -user it takes a KEY and a VALUE"},
		{args: "end -user userId " + secret, want: "give -yes"},
		{args: "watch -interval 1ms", want: "-interval is 100ms at least"},
		{args: "watch -interval soon", want: "it is a duration such as"},
		{args: "watch -count -1", want: "-count a number from 0 on"},
		{args: "dump", want: "give -ids"},
		{args: "restore a b", want: "restore: it takes a FILE and nothing more"},
		{args: "restore " + filepath.Join(dir, "none"), want: "the file cannot be read"},
		{args: "restore -lease 0s", want: "-lease is a millisecond at least"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			env := []string{"STORE_URL=" + nowhere}
			if tt.url == "-" {
				env = nil
			} else if tt.url != "" {
				env = []string{"STORE_URL=" + tt.url}
			}
			r := runCommand(t, env, tt.stdin, strings.Split(tt.args, " ")...).exits(2).says(tt.want)
			if r.out != "" || !strings.HasPrefix(r.errOut, "storectl: ") {
				t.Errorf("%s writes %q and %q, want one line to stderr that begins with the command's name", r.call, r.out, r.errOut)
			}
			for _, private := range []string{secret, "pass word"} {
				if strings.Contains(r.errOut, private) {
					t.Errorf("%s repeats what may be a secret: %s", r.call, r.errOut)
				}
			}
		})
	}
}

// The help is not an error, names every command and flag, and has lines that fit.
func TestHelp(t *testing.T) {
	for _, args := range [][]string{nil, {"help"}, {"-h"}, {"--help"}} {
		r := runCommand(t, nil, "", args...).exits(0)
		for _, c := range commands {
			r.says("  " + c.name + " ")
		}
	}
	for _, c := range commands {
		r := runCommand(t, nil, "", "help", c.name).exits(0).says("storectl " + c.name)
		if other := runCommand(t, nil, "", c.name, "-h").exits(0); other.out != r.out {
			t.Errorf("%s -h and help %s differ", c.name, c.name)
		}
		for line := range strings.Lines(r.out) {
			if len(line) > 170 {
				t.Errorf("help %s has a line of %d bytes: %s", c.name, len(line), line)
			}
		}
	}
}

// What fails is one line, exit code 1, and no secret.
func TestFailures(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // it answers nobody
	port := l.Addr().(*net.TCPAddr).Port
	for _, args := range [][]string{{"check"}, {"ls"}, {"show", secret}, {"find", "userId", "u"}, {"end", "-yes", secret}, {"stats"}, {"watch"}, {"dump", "-ids"}} {
		r := runCommand(t, []string{fmt.Sprintf("STORE_URL=redis://:pa55word@127.0.0.1:%d/?connect_timeout=300ms", port)}, "", args...).exits(1)
		if strings.Contains(r.errOut, "pa55word") || strings.Contains(r.errOut, secret) || r.out != "" {
			t.Errorf("%s without an answer says %q and %q", r.call, r.out, r.errOut)
		}
	}
	server := testserver.Redis(t, testserver.WithArgs("--requirepass", "right"))
	r := runCommand(t, []string{"STORE_URL=" + strings.Replace(server.URL, "redis://", "redis://:wr0ng@", 1)}, "", "ls").exits(1)
	if strings.Contains(r.errOut, "wr0ng") {
		t.Errorf("ls with a wrong password says %q", r.errOut)
	}
}

// A user without the right to list sessions is told so.
func TestWithoutTheRightToScan(t *testing.T) {
	server := testserver.Redis(t)
	for _, args := range [][]string{{"ACL", "SETUSER", "app", "on", ">pw", "~*", "&*", "+@all", "-scan"}} {
		if _, err := server.Do(args...); err != nil {
			t.Fatal(err)
		}
	}
	b := newBench(t, strings.Replace(server.URL, "redis://", "redis://app:pw@", 1))
	b.create(store.NewID())
	for _, args := range [][]string{{"ls"}, {"stats"}, {"watch"}, {"dump", "-ids"}, {"show", "~aaaaaaaaaaaaaaaa"}} {
		b.run(args...).exits(1).says("ACL user may not do this")
	}
	b.run("check").exits(0).says("Sessions cannot be listed")
}

// A reader that has gone is not an error.
func TestClosedPipe(t *testing.T) {
	b := newBench(t, testserver.SharedRedis(t).URL)
	for range 300 {
		b.create(store.NewID(), userID.To(strings.Repeat("x", 1000)))
	}
	for _, args := range [][]string{{"ls"}, {"ls", "-json"}, {"dump", "-ids"}, {"find", "userId", strings.Repeat("x", 1000)}, {"help"}} {
		cmd := exec.CommandContext(t.Context(), program, args...)
		cmd.Env = append(os.Environ(), "STORE_URL="+b.url)
		var errOut strings.Builder
		cmd.Stderr = &errOut
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		cmd.Stdout = w
		if err := cmd.Run(); err != nil || errOut.Len() > 0 {
			t.Errorf("storectl %s into a closed pipe = %v, %q, want exit code 0 and nothing", args[0], err, errOut.String())
		}
		w.Close()
	}
}

// Ctrl-C ends a command with its own code and one line that says what was done.
func TestInterrupt(t *testing.T) {
	b := newBench(t, testserver.SharedRedis(t).URL)
	b.create(store.NewID())
	dumped := b.run("dump", "-ids").exits(0).out
	for _, args := range [][]string{{"show", "-"}, {"end", "-", "-yes"}, {"restore"}} {
		cmd := exec.CommandContext(t.Context(), program, args...)
		cmd.Env = append(os.Environ(), "STORE_URL="+b.url)
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		errPipe, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if args[0] == "restore" { // its first lines, and then it waits
			head, _, _ := strings.Cut(dumped, "\n")
			fmt.Fprintln(in, head)
		}
		// The process has its handlers when it reads: what was written is not in the pipe any more, or soon.
		awaitReading(t, cmd.Process.Pid)
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(errPipe)
		var said []string
		for lines.Scan() {
			said = append(said, lines.Text())
		}
		cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != 130 || len(said) != 1 || !strings.Contains(said[0], "interrupted") {
			t.Errorf("storectl %s that is interrupted exits with %d and says %q, want 130 and one line", args[0], code, said)
		}
	}
}

// Dumps that are none, or not whole, are refused with the number of the line, and nothing else is lost.
func TestRestoreRefuses(t *testing.T) {
	b := newBench(t, testserver.SharedRedis(t).URL)
	id, kept := store.NewID(), store.NewID()
	b.create(kept, userID.To("u"))
	b.secrets = append(b.secrets, id)
	head := fmt.Sprintf(`{"storectl":1,"namespace":%q,"time":"2026-01-01T00:00:00Z"}`, b.backend.Namespace())
	one := fmt.Sprintf(`{"id":%q,"left_ms":60000,"values":[{"key":"k","value":"AA=="}]}`, id)
	for _, tt := range []struct {
		name  string
		lines []string
		want  string
	}{
		{"empty", nil, "line 1: the dump is empty"},
		{"no dump", []string{"hello"}, "line 1: it is no line of a dump"},
		{"another version", []string{`{"storectl":2,"namespace":"x","time":"2026-01-01T00:00:00Z"}`}, "line 1: this is no dump that this storectl can read"},
		{"another namespace", []string{`{"storectl":1,"namespace":"x","time":"2026-01-01T00:00:00Z"}`}, "of the namespace"},
		{"cut off", []string{head, one}, "line 3: the dump ends here without its last line, so it is not whole; 1 session restored before it"},
		{"cut in a line", []string{head, one[:30]}, "line 2: it is no line of a dump"},
		{"a wrong number", []string{head, one, `{"end":true,"sessions":2}`}, "the dump says 2 sessions and has 1"},
		{"two in a line", []string{head, one + one}, "line 2: it is no line of a dump"},
		{"an unknown field", []string{head, `{"id":"a","values":[],"owner":1}`}, "line 2: it is no line of a dump"},
		{"no base64", []string{head, `{"id":"a","values":[{"key":"k","value":"?"}]}`}, "line 2: it is no line of a dump"},
		{"no ID", []string{head, `{"values":[]}`}, "line 2: it has no usable ID"},
		{"a bad ID", []string{head, `{"id":"a:b","values":[]}`}, "line 2: it has no usable ID"},
		{"a long ID", []string{head, `{"id":"` + strings.Repeat("x", 513) + `","values":[]}`}, "line 2: it has no usable ID"},
		{"a bad key", []string{head, `{"id":"a","values":[{"key":"","value":""}]}`}, "line 2: it has a key that cannot be used"},
		{"a key twice", []string{head, `{"id":"a","values":[{"key":"k","value":""},{"key":"k","value":""}]}`}, "or one twice"},
		{"no time left", []string{head, `{"id":"a","left_ms":0,"values":[]}`}, "left_ms"},
		{"too much time left", []string{head, `{"id":"a","left_ms":9223372036854775807,"values":[]}`}, "left_ms"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := *b
			b.t = t
			b.runWith(strings.Join(tt.lines, "\n"), "restore").exits(2).says("restore: line ", tt.want)
			if s, err := b.backend.Attach(t.Context(), id, store.Terms{}); err == nil {
				if err := s.Destroy(t.Context()); err != nil {
					t.Error(err)
				}
			}
			if !b.lives(kept) {
				t.Error("a session that lived does not any more")
			}
		})
	}
	// Without a time left it lives for -lease, and keys and values may be anything.
	odd := fmt.Sprintf(`{"id":%q,"values":[{"key":"é","value":""},{"key":"n","value":null}]}`, id)
	b.runWith(strings.Join([]string{head, "", odd, `{"end":true,"sessions":1}`}, "\r\n"), "restore", "-lease", "10m").exits(0).says("1 session restored.")
	s, err := b.backend.Attach(t.Context(), id, store.Terms{})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := store.Keys(t.Context(), s)
	if left := leftOf(b, b.backend, s); left.Minutes() < 9 || left.Minutes() > 11 || err != nil || !slices.Equal(keys, []string{"n", "é"}) {
		t.Errorf("the restored session has %v left and the keys %q, %v, want 10m and both", left, keys, err)
	}
}

func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "abc é 漢": "abc é 漢", "a\x1b[31mb": `a\x1b[31mb`, "\n\t": `\n\t`, "\xff": `\xff`, "\u202e": `\u202e`, "\u0085": `\u0085`, "\ufffd": "\ufffd",
	} {
		if got := printable(text); got != want {
			t.Errorf("printable(%q) = %q, want %q", text, got, want)
		}
	}
}
