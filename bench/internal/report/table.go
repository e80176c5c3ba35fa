package report

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Text writes the report as tables for people.
func (r *Report) Text(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	r.casesText(t)
	r.kindsText(t)
	if err := t.Flush(); err != nil {
		return err
	}
	if r.Interrupted {
		_, err := fmt.Fprintln(w, "\ninterrupted: this is what was measured so far")
		return err
	}
	return nil
}

func (r *Report) casesText(w io.Writer) {
	if len(r.Cases) == 0 {
		return
	}
	fmt.Fprintln(w, "\nsystem\tworkload\tworkers\tops/s\t±\tp50\tp95\tp99\tp99.9\tmax\tallocs/op\tB/op\tB/session\terrors\t")
	for _, c := range r.Cases {
		name := c.Workload
		if c.Rate > 0 {
			name += fmt.Sprintf(" at %.0f/s", c.Rate)
		}
		if len(c.Repeats) == 0 {
			fmt.Fprintf(w, "%s\t%s\t%d\tnot measured\t\t\t\t\t\t\t\t\t\t\t\n", c.System, name, c.Workers)
			continue
		}
		s := c.Summary
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%.0f%%\t%s\t%.1f\t%.0f\t%s\t%s\t\n", c.System, name, c.Workers,
			count(s.PerSecond), 100*s.Spread, s.Latency, s.Allocs, s.Bytes, c.held(), c.errors())
	}
}

// String returns the columns of a table.
func (l Latency) String() string {
	return strings.Join([]string{Duration(l.P50), Duration(l.P95), Duration(l.P99), Duration(l.P999), Duration(l.Max)}, "\t")
}

// held is the memory per session, in the process and on the server.
func (c *Case) held() string {
	text := fmt.Sprintf("%.0f", c.BytesPerSession)
	if c.ServerBytesPerSession > 0 {
		text += fmt.Sprintf("+%.0f", c.ServerBytesPerSession)
	}
	return text
}

func (c *Case) errors() string {
	var parts []string
	for _, kind := range slices.Sorted(maps.Keys(c.Summary.Errors)) {
		parts = append(parts, fmt.Sprintf("%d %s", c.Summary.Errors[kind], kind))
	}
	if c.Summary.Late > 0 {
		parts = append(parts, fmt.Sprintf("%d never started", c.Summary.Late))
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

// kindsText shows latencies by operation where a workload mixes several.
func (r *Report) kindsText(w io.Writer) {
	head := false
	for _, c := range r.Cases {
		if len(c.Summary.Kinds) < 2 {
			continue
		}
		if !head {
			fmt.Fprintln(w, "\nsystem\tworkload\tworkers\toperation\tp50\tp95\tp99\tp99.9\tmax\t")
			head = true
		}
		for _, kind := range slices.Sorted(maps.Keys(c.Summary.Kinds)) {
			fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t\n", c.System, c.Workload, c.Workers, kind, c.Summary.Kinds[kind])
		}
	}
}

// Duration writes nanoseconds with three digits.
func Duration(ns int64) string {
	d, digit := time.Duration(ns), time.Nanosecond
	for d >= 1000*digit {
		digit *= 10
	}
	return d.Round(digit).String()
}

// count writes a throughput with thousands or millions.
func count(n float64) string {
	switch {
	case n >= 1e6:
		return fmt.Sprintf("%.2fM", n/1e6)
	case n >= 1e4:
		return fmt.Sprintf("%.1fk", n/1e3)
	}
	return fmt.Sprintf("%.0f", n)
}
