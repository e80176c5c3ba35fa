package plugin_test

import (
	"testing"

	"github.com/golangci/plugin-module-register/register"

	"github.com/sessionkv/store/cmd/storevet/analyzer"
	_ "github.com/sessionkv/store/cmd/storevet/plugin"
)

func TestRegistered(t *testing.T) {
	newPlugin, err := register.GetPlugin("storevet")
	if err != nil {
		t.Fatalf("GetPlugin(storevet) = %v", err)
	}
	p, err := newPlugin(nil)
	if err != nil {
		t.Fatalf("New() = %v", err)
	}
	got, err := p.BuildAnalyzers()
	if err != nil || len(got) != 1 || got[0] != analyzer.Analyzer {
		t.Errorf("BuildAnalyzers() = %v, %v, want the one analyzer", got, err)
	}
	if mode := p.GetLoadMode(); mode != register.LoadModeTypesInfo {
		t.Errorf("GetLoadMode() = %q, want %q: the analyzer needs types", mode, register.LoadModeTypesInfo)
	}
}
