package systemtest

import (
	"testing"
	"time"
)

// Contexts that end in the middle of operations leave no half or false answers.
func TestLinearizableWithDeadlines(t *testing.T) {
	for _, c := range setups() {
		t.Run(c.name, func(t *testing.T) {
			nodes := c.open(t)
			cut := func(y *tally) bool { return y.ended > 0 }
			y := record(t, nodes, newRand(t), recording{steps: 12, limit: 500 * time.Microsecond, more: lastingUntil(t, historyTime, cut)})
			wantHealthy(t, y)
			if !cut(y) {
				t.Error("no context ended in the middle of an operation")
			}
		})
	}
}
