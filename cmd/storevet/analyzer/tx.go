package analyzer

import (
	"go/ast"
	"go/token"
	"go/types"
	"slices"
)

// transactions reports a *store.Tx, or a TxValue, that leaves the function that it
// was given to. It is not valid after that function has returned.
func (c *checker) transactions() {
	c.inspector.Preorder([]ast.Node{(*ast.FuncLit)(nil), (*ast.FuncDecl)(nil)}, func(n ast.Node) {
		var t *ast.FuncType
		var body *ast.BlockStmt
		switch n := n.(type) {
		case *ast.FuncLit:
			t, body = n.Type, n.Body
		case *ast.FuncDecl:
			t, body = n.Type, n.Body
		}
		if body == nil || !c.takesTx(t) {
			return
		}
		c.keepsTx(n, body)
	})
}

func (c *checker) takesTx(t *ast.FuncType) bool {
	for _, f := range t.Params.List {
		if pointerTo(c.TypesInfo.TypeOf(f.Type), "Tx") {
			return true
		}
	}
	return false
}

// keepsTx looks at the body of fn, which is given a Tx.
func (c *checker) keepsTx(fn ast.Node, body *ast.BlockStmt) {
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			return !c.takesTx(n.Type) // looked at individually
		case *ast.AssignStmt:
			for i, l := range n.Lhs {
				r := n.Rhs[min(i, len(n.Rhs)-1)]
				if len(n.Rhs) != len(n.Lhs) {
					continue
				}
				if c.outside(fn, l) && c.carries(r) {
					c.leaves(r, "is kept in "+types.ExprString(l))
				}
			}
		case *ast.SendStmt:
			if c.carries(n.Value) {
				c.leaves(n.Value, "is sent on a channel")
			}
		case *ast.CallExpr:
			c.passesTx(n)
		case *ast.GoStmt:
			if e := c.mentions(n.Call); e != nil {
				c.leaves(e, "is used in another goroutine")
			}
			return false
		}
		return true
	})
}

// keeping are the methods of packages sync and sync/atomic that keep an argument.
var keeping = map[string]bool{"Store": true, "Swap": true, "CompareAndSwap": true, "LoadOrStore": true, "Put": true}

// passesTx looks at a call that begins a goroutine, as that of a sync.WaitGroup or an errgroup.Group does. It also looks
// at one that keeps what it is given for others, as those of package sync do.
func (c *checker) passesTx(call *ast.CallExpr) {
	sel, ok := ast.Unparen(call.Fun).(*ast.SelectorExpr)
	if !ok {
		return
	}
	f, ok := c.TypesInfo.Uses[sel.Sel].(*types.Func)
	if !ok || f.Signature().Recv() == nil {
		return
	}
	for _, arg := range call.Args {
		switch _, literal := ast.Unparen(arg).(*ast.FuncLit); {
		case f.Name() == "Go" && literal:
			if e := c.mentions(arg); e != nil {
				c.leaves(e, "is used in another goroutine")
			}
		case keeping[f.Name()] && f.Pkg() != nil && (f.Pkg().Path() == "sync" || f.Pkg().Path() == "sync/atomic") && c.carries(arg):
			c.leaves(arg, "is kept in "+types.ExprString(sel.X))
		}
	}
}

func (c *checker) leaves(n ast.Node, how string) {
	c.Reportf(n.Pos(), "the transaction leaves its function: it %s; a store.Tx is valid only until the function returns, which may run again", how)
}

// outside reports whether an assignment to l outlives fn: l is declared outside, or
// is a part of something that is.
func (c *checker) outside(fn ast.Node, l ast.Expr) bool {
	switch l := ast.Unparen(l).(type) {
	case *ast.Ident:
		if l.Name == "_" {
			return false
		}
		obj := c.TypesInfo.ObjectOf(l)
		return obj != nil && !within(fn, obj.Pos())
	case *ast.SelectorExpr:
		return c.outsideBase(fn, l.X)
	case *ast.IndexExpr:
		return c.outsideBase(fn, l.X)
	case *ast.StarExpr:
		return c.outsideBase(fn, l.X)
	}
	return false
}

// outsideBase is outside for what l is a part of. A parameter refers to something
// outside, unless it is the transaction.
func (c *checker) outsideBase(fn ast.Node, x ast.Expr) bool {
	if id, ok := ast.Unparen(x).(*ast.Ident); ok {
		obj := c.TypesInfo.ObjectOf(id)
		if obj == nil {
			return false
		}
		body := fn
		switch fn := fn.(type) {
		case *ast.FuncLit:
			body = fn.Body
		case *ast.FuncDecl:
			body = fn.Body
		}
		return !within(body, obj.Pos())
	}
	return c.outside(fn, x)
}

func within(n ast.Node, p token.Pos) bool { return n.Pos() <= p && p < n.End() }

// carries reports whether the value of e is, or holds, a transaction.
func (c *checker) carries(e ast.Expr) bool {
	e = ast.Unparen(e)
	if c.isTx(c.TypesInfo.TypeOf(e)) {
		return true
	}
	switch e := e.(type) {
	case *ast.FuncLit:
		return c.mentions(e) != nil
	case *ast.UnaryExpr:
		return e.Op == token.AND && c.carries(e.X)
	case *ast.CompositeLit:
		for _, el := range e.Elts {
			if kv, ok := el.(*ast.KeyValueExpr); ok {
				el = kv.Value
			}
			if c.carries(el) {
				return true
			}
		}
	case *ast.CallExpr:
		if id, ok := e.Fun.(*ast.Ident); ok && id.Name == "append" {
			if slices.ContainsFunc(e.Args[1:], c.carries) {
				return true
			}
		}
	case *ast.SelectorExpr: // a method value
		if s := c.TypesInfo.Selections[e]; s != nil && s.Kind() == types.MethodVal {
			return c.isTx(s.Recv())
		}
	}
	return false
}

func (c *checker) isTx(t types.Type) bool {
	if t == nil {
		return false
	}
	if _, ok := named(t, "TxValue"); ok {
		return true
	}
	return pointerTo(t, "Tx")
}

// mentions returns a use, in n, of a transaction that was declared outside n.
func (c *checker) mentions(n ast.Node) (found ast.Node) {
	ast.Inspect(n, func(m ast.Node) bool {
		id, ok := m.(*ast.Ident)
		if !ok || found != nil {
			return found == nil
		}
		if v, ok := c.TypesInfo.Uses[id].(*types.Var); ok && c.isTx(v.Type()) && !within(n, v.Pos()) {
			found = id
		}
		return found == nil
	})
	return found
}
