package redisstore

import (
	"bytes"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Each script begins with what it takes and answers, and that is what its replies are held to.
func TestScriptsSayWhatTheyAnswer(t *testing.T) {
	scripts := map[string]*script{
		"set": setScript, "fencing_set": fencingSetScript, "merged_set": mergedSetScript, "has": hasScript, "keys": keysScript,
		"delete": deleteScript, "destroy": destroyScript, "destroy_if": destroyIfScript, "renew": renewScript, "merged_renew": mergedRenewScript,
		"suspend": suspendScript, "resume": resumeScript, "create": createScript, "commit": commitScript, "commit_timed": commitTimedScript,
		"confirmed_delete": confirmedDeleteScript, "confirmed_destroy": confirmedDestroyScript, "confirmed_trace": confirmedTraceScript,
		"put": putScript, "merged_put": mergedPutScript, "remove": removeScript, "page": pageScript, "time_left": timeLeftScript,
		"renew_if": renewIfScript, "merged_renew_if": mergedRenewIfScript, "suspend_if": suspendIfScript,
	}
	files, err := fs.Glob(luaFiles, "lua/*.lua")
	if err != nil || len(files) != len(scripts) {
		t.Fatalf("lua has %d scripts (%v), want %d", len(files), err, len(scripts))
	}
	for _, file := range files {
		name := strings.TrimSuffix(strings.TrimPrefix(file, "lua/"), ".lua")
		s := scripts[name]
		text, err := luaFiles.ReadFile(file)
		if err != nil || s == nil || !bytes.Equal(s.source, sourceOf(file)) {
			t.Errorf("%s is not the script called %s (%v)", file, name, err)
			continue
		}
		head := string(text)
		if !strings.HasPrefix(head, "-- "+name+" ") || !strings.Contains(head, "\n-- keys:    ") || !strings.Contains(head, "\n-- args:    ") {
			t.Errorf("%s does not begin with its name, what it does, its keys and its args", file)
		}
		_, said, _ := strings.Cut(head, "\n-- answers: ")
		said, _, _ = strings.Cut(said, "\n")
		var numbers []answer
		list := false
		for part := range strings.FieldsFuncSeq(said, func(r rune) bool { return r == ',' || r == ';' }) {
			switch part = strings.TrimPrefix(strings.TrimSpace(part), "or "); {
			case strings.HasPrefix(part, "a list"):
				list = true
			case part != "" && part[0] >= '0' && part[0] <= '9' && !list:
				numbers = append(numbers, answer(part[0]-'0'))
			}
		}
		want := slices.Sorted(slices.Values(s.numbers))
		if diff := cmp.Diff(want, numbers); diff != "" {
			t.Errorf("the answers at the head of %s (-accepted +said):\n%s", file, diff)
		}
		if merged := strings.HasPrefix(name, "merged_"); list != (s.list != nil || merged) {
			t.Errorf("the head of %s speaks of a list: %t, want %t", file, list, !list)
		}
	}
}
