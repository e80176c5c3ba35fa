package redisstore

import (
	"bytes"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
)

// DragonflyDB tells its flags for scripts nobody; a script shows them.
func TestCheckWarnsOfSplitScripts(t *testing.T) {
	const undeclared = "-ERR Error running script (call to f_0): @user_script:1: script tried accessing undeclared key\r\n"
	for _, tt := range []struct {
		name string
		said answers
		want bool
	}{
		{"DragonflyDB", answers{info: dragonflyInfo(""), eval: undeclared}, false},
		{"DragonflyDB with flags", answers{info: dragonflyInfo(""), eval: "$-1\r\n"}, true},
		{"DragonflyDB that refuses", answers{info: dragonflyInfo(""), eval: forbidden}, false},
		{"DragonflyDB that does not tell", answers{info: forbidden, eval: "$-1\r\n"}, false},
		{"Redis", answers{info: bulk("# Server\r\nredis_version:7.0.15\r\n"), eval: "$-1\r\n"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var said atomic.Pointer[answers]
			said.Store(&tt.said)
			var log bytes.Buffer
			b, err := New(answering(t, &said), &Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			b.checkSettings(t.Context())
			if got := strings.Contains(log.String(), "--default_lua_flags"); got != tt.want {
				t.Errorf("checkSettings() warned: %t, want %t; it logged %q", got, tt.want, log.String())
			}
		})
	}
}
