package main

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

func TestParseConfig(t *testing.T) {
	none := func(string) string { return "" }
	a, err := parseConfig(nil, none, io.Discard)
	if err != nil {
		t.Fatalf("parseConfig() = %v, want nil", err)
	}
	b, err := parseConfig(nil, none, io.Discard)
	if err != nil {
		t.Fatalf("parseConfig() = %v, want nil", err)
	}
	if bytes.Equal(a.secret, b.secret) || len(a.secret) != minSecret {
		t.Errorf("two random secrets are alike or not %d bytes long", minSecret)
	}
	c, err := parseConfig([]string{"-secret", strings.Repeat("s", 40)}, testEnv, io.Discard)
	if err != nil || string(c.secret) != strings.Repeat("s", 40) {
		t.Errorf("parseConfig(-secret) = %v; want the flag's secret, not the environment's", err)
	}
}

func TestParseConfigRefusals(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"-codec", "xml"}, "msgpack or json"},
		{[]string{"-lease", "0"}, "positive"},
		{[]string{"-grace", "-1s"}, "negative"},
		{[]string{"-addr", "8080"}, "host:port"},
		{[]string{"-secret", "short"}, "at least 32"},
		{[]string{"redis://x"}, "unexpected argument"},
		{[]string{"-nope"}, "not defined"},
	} {
		_, err := parseConfig(tt.args, testEnv, io.Discard)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("parseConfig(%q) = %v, want one line with %q", tt.args, err, tt.want)
		}
	}
}

func TestRunRefusals(t *testing.T) {
	n, _ := startNode(t)
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"-store", "nosuch://u:hunter2@h"}, "unknown scheme"},
		{[]string{"-store", "memory:?nope=1"}, "just memory:"},
		{[]string{"-addr", strings.TrimPrefix(n.url, "http://")}, "in use"},
	} {
		err := run(t.Context(), tt.args, testEnv, io.Discard)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("run(%q) = %v, want an error with %q and no password", tt.args, err, tt.want)
		}
	}
}
