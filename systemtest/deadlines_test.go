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
			y := record(t, nodes, newRand(t), recording{steps: 12, limit: 500 * time.Microsecond, more: lasting(historyTime)})
			wantHealthy(t, y)
			if y.ended == 0 {
				t.Error("no context ended in the middle of an operation")
			}
		})
	}
}
