// Storevet reports mistakes in the use of package store that compile. Among them are one key name
// with two types, names and types that cannot be stored, and a transaction that leaves its
// function; see package analyzer.
//
// Usage:
//
//	go install github.com/sessionkv/store/cmd/storevet@latest
//	go vet -vettool=$(which storevet) ./...
//
// It also runs alone, as storevet ./..., and as a module plugin of golangci-lint; see
// package plugin.
package main

import (
	"os"
	"strings"

	"golang.org/x/tools/go/analysis/singlechecker"
	"golang.org/x/tools/go/analysis/unitchecker"

	"github.com/sessionkv/store/cmd/storevet/analyzer"
)

func main() {
	for _, arg := range os.Args[1:] {
		// So go vet calls its tool.
		if arg == "-flags" || strings.HasPrefix(arg, "-V=") || strings.HasSuffix(arg, ".cfg") {
			unitchecker.Main(analyzer.Analyzer)
		}
	}
	singlechecker.Main(analyzer.Analyzer)
}
