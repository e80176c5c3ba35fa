package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sessionkv/store/bench/internal/system"
)

func TestParseReadsAllFlags(t *testing.T) {
	o, err := parse(strings.Fields("-store memory: -store redis://app:secret@h:1 -codec json -against goredis,otter -workload a,life -mix get=90,set=10 "+
		"-sessions 5 -keys 7 -value 16,1024 -workers 1,256 -duration 2s -rate 100 -repeat 4 -delay 1ms"), &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	var workloads []string
	for _, w := range o.workloads {
		workloads = append(workloads, w.Name)
	}
	if d := cmp.Diff([]string{"a", "life", "get=90,set=10"}, workloads); d != "" {
		t.Errorf("workloads: -want +got\n%s", d)
	}
	if d := cmp.Diff([]int{1, 256}, o.workers); d != "" {
		t.Errorf("workers: -want +got\n%s", d)
	}
	if d := cmp.Diff([]int{16, 1024}, o.sizes); d != "" {
		t.Errorf("sizes: -want +got\n%s", d)
	}
	want := []system.Spec{
		{Name: "store", URL: "memory:", Codec: "json"},
		{Name: "store", URL: "redis://app:secret@h:1", Codec: "json"},
		{Name: "goredis", URL: "redis://app:secret@h:1"},
		{Name: "otter", URL: "memory:"},
	}
	if d := cmp.Diff(want, o.specs()); d != "" {
		t.Errorf("specs: -want +got\n%s", d)
	}
	for _, s := range o.specs() {
		if strings.Contains(s.String(), "secret") {
			t.Errorf("%q shows the password", s)
		}
	}
}

func TestAgainstAllTakesWhatTheServersAllow(t *testing.T) {
	o, err := parse([]string{"-against", "all"}, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"gocache", "gokv-syncmap", "otter", "otter-copied", "rwmap", "scs-memstore", "syncmap"}
	if d := cmp.Diff(want, o.against); d != "" {
		t.Errorf("against: -want +got\n%s", d)
	}
}

func TestWrongFlagsAreOneLineAndExitTwo(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"-nonsense", "-nonsense"},
		{"extra", `"extra"`},
		{"-store ftp://app:secret@h", "unknown scheme"},
		{"-store redis://app:secret@h -nonsense", "-h shows"},
		{"-codec xml", `"xml"`},
		{"-against nobody", `"nobody"`},
		{"-against goredis", "-store redis://"},
		{"-workload z", `"z"`},
		{"-mix get=50", "add up to 50"},
		{"-sessions 0", "-sessions 0"},
		{"-keys 1001", "-keys 1001"},
		{"-value big", "flag -value"},
		{"-value -1", "flag -value"},
		{"-workers 0", "flag -workers"},
		{"-workers x", "flag -workers"},
		{"-duration 0s", "-duration"},
		{"-duration fast", "duration"},
		{"-rate -1", "-rate"},
		{"-rate NaN", "-rate"},
		{"-repeat 0", "-repeat"},
		{"-delay -1s", "-delay"},
		{"-delay 1ms -store redis+cluster://h:1", "-delay"},
	} {
		var stdout, stderr bytes.Buffer
		code := Main(t.Context(), strings.Fields(c.args), &stdout, &stderr)
		text := stderr.String()
		if code != 2 || strings.Count(text, "\n") != 1 || !strings.Contains(text, c.want) || strings.Contains(text, "secret") {
			t.Errorf("bench %s: exit code %d, %q, want 2 and one line with %q", c.args, code, text, c.want)
		}
	}
}
