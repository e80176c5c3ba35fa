/*
Package analyzer finds mistakes in the use of package store that compile.

It reports:

  - one key name with two types, or with two codecs, anywhere in the program: the
    second read fails with ErrDecode;
  - key names that store.CheckKey refuses;
  - keys made from a string that is not constant: names of users' making, and as many
    as users like;
  - types that cannot be stored or come back incomplete: chan, func, uintptr, interfaces
    with methods, structs with nothing exported or with fields that are not, types that
    contain themselves, types whose methods only encode or are those of one embedded
    field, keys of maps with pointers in them;
  - a *store.Tx, or a value of one, that leaves the function it was made for;
  - a deferred Session.Destroy, which runs before Sessions.Close can suspend: Release is meant. One
    that depends on a condition is not reported.

Files of tests are only looked at for transactions: what a wrong key does there, the test
shows, or is about.

A type that encodes itself is not looked into, nor one whose key has a codec of its
own other than those of package codec.
*/
package analyzer

import (
	"go/ast"
	"go/types"
	"strings"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/passes/inspect"
	"golang.org/x/tools/go/ast/inspector"
)

// Analyzer is storevet.
var Analyzer = &analysis.Analyzer{
	Name:      "storevet",
	Doc:       "report keys of package store with clashing types or bad names, values that cannot be stored, transactions that leave their function, and deferred Destroy",
	URL:       "https://pkg.go.dev/github.com/sessionkv/store/cmd/storevet/analyzer",
	Requires:  []*analysis.Analyzer{inspect.Analyzer},
	FactTypes: []analysis.Fact{new(seen)},
	Run:       run,
}

const storePath = "github.com/sessionkv/store"

func run(pass *analysis.Pass) (any, error) {
	switch pass.Pkg.Path() {
	case storePath, storePath + "/storetest":
		// Package store works on names that it is given. The keys of the suite live in sessions of
		// its own, not in those of the program.
		return nil, nil
	}
	c := &checker{Pass: pass, inspector: pass.ResultOf[inspect.Analyzer].(*inspector.Inspector)}
	c.keys()
	c.transactions()
	c.deferred()
	return nil, nil
}

// checker is one run on one package.
type checker struct {
	*analysis.Pass
	inspector *inspector.Inspector
}

// inTest reports whether n is in a file of tests.
func (c *checker) inTest(n ast.Node) bool {
	return strings.HasSuffix(c.Fset.Position(n.Pos()).Filename, "_test.go")
}

// testFile reports whether a stack of nodes begins with a file of tests.
func (c *checker) testFile(stack []ast.Node) bool { return len(stack) > 0 && c.inTest(stack[0]) }

// named returns the type arguments when t is the named type of package store.
func named(t types.Type, name string) (args *types.TypeList, ok bool) {
	n, ok := types.Unalias(t).(*types.Named)
	if !ok || n.Obj().Name() != name || n.Obj().Pkg() == nil || n.Obj().Pkg().Path() != storePath {
		return nil, false
	}
	return n.TypeArgs(), true
}

// keyType returns T when t is store.Key[T].
func keyType(t types.Type) (types.Type, bool) {
	args, ok := named(t, "Key")
	if !ok || args.Len() != 1 {
		return nil, false
	}
	return args.At(0), true
}

// pointerTo reports whether t is a pointer to the named type of package store.
func pointerTo(t types.Type, name string) bool {
	p, ok := types.Unalias(t).(*types.Pointer)
	if !ok {
		return false
	}
	_, ok = named(p.Elem(), name)
	return ok
}
