// Package zerotest checks that nothing a package exports panics, or hangs, on nil and
// zero receivers and arguments. It finds what is exported in the package's source, so
// that nothing new escapes it.
package zerotest

import (
	"context"
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// Run checks the package in the current directory, which a test's is its own. Exported holds, by
// name, a value of each exported type and each exported function, of what is generic an instance.
// Where a type's methods are declared on pointers, it holds a nil pointer. What is nil is left out,
// with a reason beside it. Interfaces have no entry. Every method of what the functions return,
// where it is of this module, is called too.
func Run(t *testing.T, exported map[string]any) {
	found := names(t, ".")
	for _, name := range found {
		v, ok := exported[name]
		if !ok {
			t.Errorf("%s is exported and not checked on its zero value", name)
			continue
		}
		if v == nil {
			continue
		}
		r := reflect.ValueOf(v)
		switch r.Kind() {
		case reflect.Func:
			callFunc(t, name, r)
		case reflect.Pointer:
			callMethods(t, "nil *"+name, reflect.Zero(r.Type()))
			callMethods(t, "zero *"+name, reflect.New(r.Type().Elem()))
		default:
			callMethods(t, "zero "+name, r)
			p := reflect.New(r.Type())
			callMethods(t, "zero *"+name, p)
		}
	}
	for name := range exported {
		if !slices.Contains(found, name) {
			t.Errorf("%s is to be checked and is not exported", name)
		}
	}
}

// names returns the exported types, without interfaces, and functions of the package
// in dir.
func names(t *testing.T, dir string) (all []string) {
	t.Helper()
	pkg, err := build.ImportDir(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range pkg.GoFiles {
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			all = append(all, exportedBy(d)...)
		}
	}
	if len(all) == 0 {
		t.Fatalf("no exported name in %s", dir)
	}
	slices.Sort(all)
	return all
}

func exportedBy(d ast.Decl) (all []string) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil && d.Name.IsExported() {
			all = append(all, d.Name.Name)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			s, ok := spec.(*ast.TypeSpec)
			if !ok || !s.Name.IsExported() {
				continue
			}
			if _, ok := s.Type.(*ast.InterfaceType); !ok {
				all = append(all, s.Name.Name)
			}
		}
	}
	return all
}

// callMethods calls every method of v, with each kind of arguments.
func callMethods(t *testing.T, name string, v reflect.Value) {
	t.Helper()
	for i := range v.NumMethod() {
		call(t, name+"."+v.Type().Method(i).Name, v.Method(i))
	}
}

// callFunc calls f, and everything that can be done with what it returns.
func callFunc(t *testing.T, name string, f reflect.Value) {
	t.Helper()
	for _, result := range call(t, name, f) {
		switch {
		case !result.IsValid():
		case result.Kind() == reflect.Func && !result.IsNil():
			call(t, "the result of "+name, result)
		case ours(result):
			callMethods(t, "the result of "+name, result)
		}
	}
}

// ours reports whether v has a type of this module.
func ours(v reflect.Value) bool {
	t := v.Type()
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return strings.HasPrefix(t.PkgPath(), "github.com/sessionkv/store")
}

// call calls f with zero arguments, and with arguments that look right, and returns
// the results.
func call(t *testing.T, name string, f reflect.Value) (results []reflect.Value) {
	t.Helper()
	for _, filled := range []bool{false, true} {
		var args []reflect.Value
		for i := range f.Type().NumIn() {
			if f.Type().IsVariadic() && i == f.Type().NumIn()-1 {
				break
			}
			args = append(args, argument(f.Type().In(i), filled))
		}
		mustNotPanic(t, fmt.Sprintf("%s(filled: %t)", name, filled), func() {
			for _, r := range f.Call(args) {
				for r.IsValid() && r.Kind() == reflect.Interface {
					r = r.Elem()
				}
				results = append(results, r)
			}
		})
	}
	return results
}

func argument(t reflect.Type, filled bool) reflect.Value {
	switch {
	case t == reflect.TypeFor[context.Context]():
		// A nil context is refused by vet, and not worth a check in every method.
		return reflect.ValueOf(context.Background())
	case filled && t.Kind() == reflect.String:
		return reflect.ValueOf("id").Convert(t)
	case filled && t == reflect.TypeFor[time.Duration]():
		return reflect.ValueOf(time.Minute)
	case filled && t.Kind() == reflect.Func:
		return reflect.MakeFunc(t, func([]reflect.Value) (out []reflect.Value) {
			for o := range t.Outs() {
				out = append(out, reflect.Zero(o))
			}
			return out
		})
	}
	return reflect.Zero(t)
}

// mustNotPanic calls f and reports a panic, or that f does not return.
func mustNotPanic(t *testing.T, name string, f func()) {
	t.Helper()
	panicked := make(chan any, 1)
	go func() {
		defer func() { panicked <- recover() }()
		f()
	}()
	select {
	case p := <-panicked:
		if p != nil {
			t.Errorf("%s panics: %v", name, p)
		}
	case <-time.After(time.Minute):
		t.Errorf("%s does not return", name)
	}
}
