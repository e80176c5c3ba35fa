package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/sessionkv/store/bench/internal/delay"
	"github.com/sessionkv/store/bench/internal/report"
	"github.com/sessionkv/store/bench/internal/system"
	"github.com/sessionkv/store/internal/testserver"
)

func TestMain(m *testing.M) {
	delay.Main()
	os.Exit(testserver.Main(m))
}

func bench(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = Main(t.Context(), args, &out, &errs)
	return code, out.String(), errs.String()
}

var quick = []string{"-sessions", "10", "-duration", "10ms", "-repeat", "2", "-workers", "1,3"}

func TestRunOnMemory(t *testing.T) {
	dir := t.TempDir()
	jsonFile, htmlFile := filepath.Join(dir, "r.json"), filepath.Join(dir, "r.html")
	code, stdout, stderr := bench(t, append(quick, "-against", "all", "-workload", "a,d,life", "-value", "claims", "-json", jsonFile, "-html", htmlFile)...)
	if code != 0 {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	for _, want := range []string{"store memory: msgpack", "store memory: json", "scs-memstore", "p99.9", "life"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("the output has no %q:\n%s", want, stdout)
		}
	}
	b, err := os.ReadFile(jsonFile)
	if err != nil {
		t.Fatal(err)
	}
	var r report.Report
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	// Every rival that needs no server, and the store with each codec.
	systems := 2
	for _, name := range system.Rivals() {
		if kind, err := system.Needs(name); err == nil && kind == "memory" {
			systems++
		}
	}
	if want := systems * 3 * 2; len(r.Cases) != want { // workloads, numbers of workers
		t.Errorf("the JSON has %d cases, want %d of %d systems", len(r.Cases), want, systems)
	}
	for _, c := range r.Cases {
		if len(c.Repeats) != 2 || c.Summary.PerSecond <= 0 || c.Summary.Latency.Count == 0 || len(c.Summary.Errors) > 0 {
			t.Errorf("%s, workload %s: %d repeats, %+v", c.System, c.Workload, len(c.Repeats), c.Summary)
		}
	}
	page, err := os.ReadFile(htmlFile)
	if err != nil {
		t.Fatal(err)
	}
	text := string(page)
	if n := strings.Count(text, "<svg"); n < 7 {
		t.Errorf("the page has %d plots", n)
	}
	for _, outside := range []string{"src=", "@import", "<link", "<script"} {
		if strings.Contains(text, outside) {
			t.Errorf("the page is not self-contained: it has %q", outside)
		}
	}
}

func TestRunOnRedisLeavesNothingAndHidesThePassword(t *testing.T) {
	server := testserver.Redis(t, testserver.WithACL("user app on >hunter2 ~* &* +@all"))
	url := strings.Replace(server.URL, "redis://", "redis://app:hunter2@", 1)
	file := filepath.Join(t.TempDir(), "r.json")
	code, stdout, stderr := bench(t, append(quick, "-store", url, "-against", "all", "-rate", "2000", "-delay", "100us", "-json", file)...)
	if code != 0 {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	if !strings.Contains(stdout, "rueidis-cache redis://") {
		t.Errorf("the output has no rueidis-cache:\n%s", stdout)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"output": stdout, "progress": stderr, "JSON": string(b)} {
		if strings.Contains(text, "hunter2") {
			t.Errorf("the %s shows the password", name)
		}
	}
	if n := keysOn(t, server.URL); n != 0 {
		t.Errorf("%d keys are left on the server", n)
	}
}

func keysOn(t *testing.T, url string) int64 {
	t.Helper()
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(o)
	defer c.Close()
	n, err := c.DBSize(context.Background()).Result()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestUnreachableServerIsOneLine(t *testing.T) {
	for _, args := range [][]string{
		{"-store", "redis://app:hunter2@127.0.0.1:1"},
		{"-store", "redis://app:hunter2@127.0.0.1:1?dial_timeout=1s", "-against", "goredis"},
	} {
		code, _, stderr := bench(t, args...)
		var complaints []string
		for line := range strings.Lines(stderr) {
			if strings.HasPrefix(line, "bench: ") {
				complaints = append(complaints, line)
			}
		}
		if code != 1 || len(complaints) != 1 || strings.Contains(stderr, "hunter2") {
			t.Errorf("bench %v: exit code %d, %q, want 1 and one line", args[2:], code, complaints)
		}
	}
}

func TestFullDiskIsOneLine(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("this system has no /dev/full")
	}
	for _, flag := range []string{"-json", "-html"} {
		code, stdout, stderr := bench(t, append(quick, flag, "/dev/full")...)
		if code != 1 || !strings.Contains(stderr, "bench: the results are not in the file") || !strings.Contains(stdout, "ops/s") {
			t.Errorf("%s /dev/full: exit code %d, %q", flag, code, stderr)
		}
	}
	code, _, stderr := bench(t, "-json", filepath.Join(t.TempDir(), "no", "such", "file"))
	if code != 1 || strings.Count(stderr, "\n") != 1 {
		t.Errorf("-json into no folder: exit code %d, %q, want 1 and one line", code, stderr)
	}
}
