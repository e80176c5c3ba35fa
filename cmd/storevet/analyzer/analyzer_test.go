package analyzer_test

import (
	"testing"

	"golang.org/x/tools/go/analysis/analysistest"

	"github.com/sessionkv/store/cmd/storevet/analyzer"
)

// The packages of testdata are a module of their own, over the package store of this
// repository.
func TestAnalyzer(t *testing.T) {
	t.Setenv("GOWORK", "off")
	analysistest.Run(t, analysistest.TestData()+"/src", analyzer.Analyzer, "./a", "./b", "./cleanup", "./loud", "./other", "./quiet", "./suite", "./two", "./three")
}
