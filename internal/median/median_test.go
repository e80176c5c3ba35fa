package median

import "testing"

// TestOf has an odd number of figures, an even one, and one.
func TestOf(t *testing.T) {
	for _, test := range []struct {
		x    []int
		want int
	}{
		{[]int{3, 1, 2}, 2},
		{[]int{4, 1, 3, 2}, 3},
		{[]int{5}, 5},
	} {
		if got := Of(test.x); got != test.want {
			t.Errorf("Of(%v) = %d, want %d", test.x, got, test.want)
		}
	}
}
