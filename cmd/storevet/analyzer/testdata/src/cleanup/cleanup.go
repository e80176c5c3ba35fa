// Package cleanup has tests that destroy what they began.
package cleanup
