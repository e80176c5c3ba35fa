package analyzer

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"slices"

	"golang.org/x/tools/go/analysis"

	"github.com/sessionkv/store"
)

// seen is the fact about a package. It has the keys that it and all packages beneath it use, each
// with the first type and the first codec that it was used with.
type seen struct{ Keys []key }

func (*seen) AFact() {}

func (s *seen) String() string { return fmt.Sprintf("%d keys", len(s.Keys)) }

// A key is what is known of one name.
type key struct {
	Name  string
	Type  string // empty when only the codec is known
	Codec string // sessionCodec, or an expression with its package; empty when unknown
	At    string // where the type was seen
	With  string // where the codec was seen
}

const sessionCodec = "the codec of the session"

// keys looks at every key of the package, and holds it against those of the
// packages beneath.
func (c *checker) keys() {
	known := make(map[string]*key)
	c.inherit(known)
	c.inspector.WithStack([]ast.Node{(*ast.CallExpr)(nil), (*ast.BasicLit)(nil), (*ast.BinaryExpr)(nil), (*ast.SelectorExpr)(nil)}, func(n ast.Node, push bool, stack []ast.Node) bool {
		if !push {
			return true
		}
		if c.testFile(stack) {
			return false
		}
		switch n := n.(type) {
		case *ast.SelectorExpr:
			c.use(known, n, stack)
		case *ast.CallExpr:
			c.made(n)
			return !c.declared(known, n, stack)
		case ast.Expr:
			return !c.declared(known, n, stack)
		}
		return true
	})
	if len(known) == 0 || c.Pkg.Name() == "main" {
		return // nothing to tell, or nobody
	}
	var fact seen
	for _, k := range known {
		fact.Keys = append(fact.Keys, *k)
	}
	slices.SortFunc(fact.Keys, func(a, b key) int { return cmp.Compare(a.Name, b.Name) })
	c.ExportPackageFact(&fact)
}

// inherit takes over what the packages beneath have seen. Two of them that differ
// have not seen each other: it is reported here, where they meet first.
func (c *checker) inherit(known map[string]*key) {
	facts := c.AllPackageFacts()
	slices.SortFunc(facts, func(a, b analysis.PackageFact) int { return cmp.Compare(a.Package.Path(), b.Package.Path()) })
	reported := make(map[[2]string]bool)
	for _, f := range facts {
		for _, k := range f.Fact.(*seen).Keys {
			have := known[k.Name]
			if have == nil {
				clone := k
				known[k.Name] = &clone
				continue
			}
			c.meet(have, k, reported)
		}
	}
}

// meet holds what two packages beneath say of a name against each other.
func (c *checker) meet(have *key, k key, reported map[[2]string]bool) {
	at := c.Files[0].Name.Pos()
	if have.Type != "" && k.Type != "" && have.Type != k.Type && have.At != k.At && !reported[[2]string{k.Name, k.Type}] && !c.metBelow(have.Name) {
		reported[[2]string{k.Name, k.Type}] = true
		c.Reportf(at, "key %q has type %s at %s and type %s at %s: one of them cannot read what the other stores", k.Name, have.Type, have.At, k.Type, k.At)
	}
	if have.Codec != "" && k.Codec != "" && have.Codec != k.Codec && have.With != k.With && !reported[[2]string{k.Name, k.Codec}] && !c.metBelow(have.Name) {
		reported[[2]string{k.Name, k.Codec}] = true
		c.Reportf(at, "key %q is encoded by %s at %s and by %s at %s: one cannot read what the other stores", k.Name, have.Codec, have.With, k.Codec, k.With)
	}
	have.Type, have.At = cmp.Or(have.Type, k.Type), cmp.Or(have.At, k.At)
	have.Codec, have.With = cmp.Or(have.Codec, k.Codec), cmp.Or(have.With, k.With)
}

// metBelow reports whether a package beneath has seen two uses of the
// name: it imports, directly or not, two packages whose facts about it differ.
func (c *checker) metBelow(name string) bool {
	says := make(map[*types.Package]key)
	for _, f := range c.AllPackageFacts() {
		for _, other := range f.Fact.(*seen).Keys {
			if other.Name == name {
				says[f.Package] = other
			}
		}
	}
	for p := range says {
		differ := false
		first := key{}
		beneath(p, make(map[*types.Package]bool), func(q *types.Package) {
			s, ok := says[q]
			switch {
			case !ok:
			case first.Name == "":
				first = s
			case s.Type != first.Type && s.At != first.At || s.Codec != first.Codec && s.With != first.With:
				differ = true
			}
		})
		if differ && p != c.Pkg {
			return true
		}
	}
	return false
}

// beneath calls f for p and all packages that it imports.
func beneath(p *types.Package, done map[*types.Package]bool, f func(*types.Package)) {
	if done[p] {
		return
	}
	done[p] = true
	f(p)
	for _, q := range p.Imports() {
		beneath(q, done, f)
	}
}

// declared looks at an expression that gives a name the type of a key. It reports
// whether n is one.
func (c *checker) declared(known map[string]*key, n ast.Expr, stack []ast.Node) bool {
	tv := c.TypesInfo.Types[n]
	t, ok := keyType(tv.Type)
	if !ok || tv.Value == nil || tv.Value.Kind() != constant.String {
		return false
	}
	name := constant.StringVal(tv.Value)
	if err := store.CheckKey(name); err != nil {
		c.Reportf(n.Pos(), "key %q: %v", clip(name), err)
		return true
	}
	if typeParam(t) {
		return true // a generic helper
	}
	codec, own := c.codecOf(stack)
	if !own || ours(codec) {
		if why := c.storable(t); why != "" {
			c.Reportf(n.Pos(), "key %q: %s", clip(name), why)
		}
	}
	typ, at := typeString(t), c.at(n)
	have := known[name]
	if have == nil {
		have = &key{Name: name}
		known[name] = have
	}
	switch {
	case have.Type == "":
		have.Type, have.At = typ, at
	case have.Type != typ:
		c.Reportf(n.Pos(), "key %q has type %s here and type %s at %s: one of them cannot read what the other stores", clip(name), typ, have.Type, have.At)
	}
	return true
}

// use looks at a method of a key: With names its codec, all others use that of the
// session.
func (c *checker) use(known map[string]*key, n *ast.SelectorExpr, stack []ast.Node) {
	tv := c.TypesInfo.Types[n.X]
	if _, ok := keyType(tv.Type); !ok || tv.Value == nil {
		return
	}
	if s := c.TypesInfo.Selections[n]; s == nil || s.Kind() != types.MethodVal {
		return
	}
	name := constant.StringVal(tv.Value)
	codec := sessionCodec
	switch n.Sel.Name {
	case "Has", "Delete", "Unset", "String":
		return // no value is encoded or decoded
	case "With":
		if codec = c.codec(n, stack); codec == "" {
			return
		}
	}
	have := known[name]
	if have == nil {
		have = &key{Name: name}
		known[name] = have
	}
	switch {
	case have.Codec == "":
		have.Codec, have.With = codec, c.at(n)
	case have.Codec != codec:
		c.Reportf(n.Pos(), "key %q is encoded by %s here and by %s at %s: one cannot read what the other stores", clip(name), codec, have.Codec, have.With)
	}
}

// codecOf returns the codec when the last of stack is the receiver of With.
func (c *checker) codecOf(stack []ast.Node) (codec string, own bool) {
	for i := len(stack) - 2; i >= 0; i-- {
		switch p := stack[i].(type) {
		case *ast.ParenExpr:
			continue
		case *ast.SelectorExpr:
			if p.Sel.Name == "With" {
				return c.codec(p, stack[:i+1]), true
			}
		}
		break
	}
	return "", false
}

// codec names the argument of the call of With that n is the function of: a variable
// with its package. It is empty for any other expression.
func (c *checker) codec(n *ast.SelectorExpr, stack []ast.Node) string {
	for _, around := range slices.Backward(stack) {
		call, ok := around.(*ast.CallExpr)
		if !ok || ast.Unparen(call.Fun) != n || len(call.Args) != 1 {
			continue
		}
		var id *ast.Ident
		switch arg := ast.Unparen(call.Args[0]).(type) {
		case *ast.Ident:
			id = arg
		case *ast.SelectorExpr:
			id = arg.Sel
		default:
			return ""
		}
		if v, ok := c.TypesInfo.Uses[id].(*types.Var); ok && v.Pkg() != nil && v.Parent() == v.Pkg().Scope() {
			return v.Pkg().Path() + "." + v.Name()
		}
		return ""
	}
	return ""
}

// ours reports whether a codec is one of package codec.
func ours(codec string) bool {
	switch codec {
	case storePath + "/codec.Msgpack", storePath + "/codec.MsgpackStrict", storePath + "/codec.MsgpackJSONTags",
		storePath + "/codec.JSON", storePath + "/codec.JSONStrict":
		return true
	}
	return false
}

// made reports a key that is made from a string that is not constant.
func (c *checker) made(n *ast.CallExpr) {
	tv := c.TypesInfo.Types[n.Fun]
	if !tv.IsType() || len(n.Args) != 1 || c.TypesInfo.Types[ast.Expr(n)].Value != nil {
		return
	}
	if _, ok := keyType(tv.Type); !ok {
		return
	}
	if _, ok := keyType(c.TypesInfo.TypeOf(n.Args[0])); ok {
		return // one key as another type
	}
	c.Reportf(n.Pos(), "a key is made from a string that is not constant: the names of keys belong in the program; keep what varies in the value, as a map for example")
}

// at returns where n is, short enough for a message.
func (c *checker) at(n ast.Node) string {
	p := c.Fset.Position(n.Pos())
	return fmt.Sprintf("%s, %s", c.Pkg.Path(), position(p))
}

// position returns file and line without the folder, which differs from machine to
// machine.
func position(p token.Position) string {
	name := p.Filename
	for i := len(name) - 1; i >= 0; i-- {
		if name[i] == '/' || name[i] == '\\' {
			name = name[i+1:]
			break
		}
	}
	return fmt.Sprintf("%s:%d", name, p.Line)
}

func clip(name string) string {
	const most = 48
	if len(name) <= most {
		return name
	}
	return name[:most] + "…"
}
