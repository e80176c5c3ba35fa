package analyzer

import (
	"go/ast"
	"go/types"
)

// deferred reports a deferred Session.Destroy. In a server it runs when the process
// shuts down, too, before Sessions.Close can suspend what has a grace.
func (c *checker) deferred() {
	c.inspector.Preorder([]ast.Node{(*ast.DeferStmt)(nil)}, func(n ast.Node) {
		if c.inTest(n) {
			return
		}
		call := n.(*ast.DeferStmt).Call
		if f, ok := ast.Unparen(call.Fun).(*ast.FuncLit); ok {
			c.always(f.Body, c.destroys)
			return
		}
		c.destroys(call)
	})
}

// always calls f for the calls in n that depend on no condition.
func (c *checker) always(n ast.Node, f func(*ast.CallExpr)) {
	ast.Inspect(n, func(m ast.Node) bool {
		switch m := m.(type) {
		case *ast.CallExpr:
			f(m)
		case *ast.FuncLit, *ast.SwitchStmt, *ast.TypeSwitchStmt, *ast.SelectStmt, *ast.ForStmt, *ast.RangeStmt:
			return false
		case *ast.IfStmt:
			if m.Init != nil {
				c.always(m.Init, f)
			}
			c.always(m.Cond, f)
			return false
		}
		return true
	})
}

func (c *checker) destroys(call *ast.CallExpr) {
	sel, ok := ast.Unparen(call.Fun).(*ast.SelectorExpr)
	if !ok || sel.Sel.Name != "Destroy" {
		return
	}
	f, ok := c.TypesInfo.Uses[sel.Sel].(*types.Func)
	if !ok {
		return
	}
	recv := f.Signature().Recv()
	if recv == nil || !pointerTo(recv.Type(), "Session") {
		return
	}
	c.Reportf(call.Pos(), "deferred Destroy ends the session also when the process shuts down, before Sessions.Close can suspend it for Options.Grace; defer Release, which destroys when there is no grace")
}
