// Package plugin makes storevet a linter of golangci-lint, as a module plugin. In
// .custom-gcl.yml:
//
//	version: v2.0.0
//	plugins:
//	  - module: github.com/sessionkv/store/cmd/storevet
//	    import: github.com/sessionkv/store/cmd/storevet/plugin
//	    version: latest
//
// and in .golangci.yml:
//
//	version: "2"
//	linters:
//	  enable: [storevet]
//	  settings:
//	    custom:
//	      storevet:
//	        type: module
package plugin

import (
	"github.com/golangci/plugin-module-register/register"
	"golang.org/x/tools/go/analysis"

	"github.com/sessionkv/store/cmd/storevet/analyzer"
)

func init() { register.Plugin("storevet", New) }

// New returns the plugin. It has no settings.
func New(any) (register.LinterPlugin, error) { return linter{}, nil }

type linter struct{}

func (linter) BuildAnalyzers() ([]*analysis.Analyzer, error) {
	return []*analysis.Analyzer{analyzer.Analyzer}, nil
}

func (linter) GetLoadMode() string { return register.LoadModeTypesInfo }
