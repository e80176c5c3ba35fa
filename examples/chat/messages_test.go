package main

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func FuzzParseRequest(f *testing.F) {
	f.Add([]byte(`{"type":"say","room":"lobby","text":"hello"}`))
	f.Add([]byte(`{"type":"nickname","name":"Ännchen"}`))
	f.Add([]byte(`{"type":"join","room":"\u202e"}`))
	f.Add([]byte(`{"type":`))
	f.Add([]byte("{\"type\":\"join\",\"room\":\"\xff\"}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parseRequest(data)
		if err != nil {
			if msg := err.Error(); strings.Contains(msg, "\n") || len(msg) > 500 {
				t.Errorf("parseRequest(%q) = %q, want one short line", data, msg)
			}
			return
		}
		for _, s := range []string{r.Room, r.Name} {
			if s != "" && (!utf8.ValidString(s) || utf8.RuneCountInString(s) > maxName) && (r.Type == "join" || r.Type == "nickname") {
				t.Errorf("parseRequest(%q) = %+v: %q is no name", data, r, s)
			}
		}
	})
}
