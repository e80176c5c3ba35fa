// Package median has the median of several figures.
package median

import (
	"cmp"
	"slices"
)

// Of returns the median of x, which it sorts, or the upper of two. x must not be empty.
func Of[N cmp.Ordered](x []N) N {
	slices.Sort(x)
	return x[len(x)/2]
}
