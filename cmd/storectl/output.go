package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"
)

// An output is where a command writes its results: a table for people, or JSON.
type output struct {
	flags
	w     *bufio.Writer
	table *tabwriter.Writer
}

func newOutput(w io.Writer, f flags) *output {
	b := bufio.NewWriter(w)
	return &output{flags: f, w: b, table: tabwriter.NewWriter(b, 10, 0, 2, ' ', 0)}
}

// row writes a line of a table.
func (o *output) row(cells ...string) {
	for i := range cells {
		cells[i] = printable(cells[i])
	}
	fmt.Fprintln(o.table, strings.Join(cells, "\t"))
}

// line writes a line that is complete.
func (o *output) line(format string, args ...any) {
	o.table.Flush()
	fmt.Fprintln(o.w, printable(fmt.Sprintf(format, args...)))
}

// object writes v as one line of JSON.
func (o *output) object(v any) error {
	e := json.NewEncoder(o.w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

func (o *output) flush() error {
	if err := o.table.Flush(); err != nil {
		return err
	}
	return o.w.Flush()
}

// printable returns text as a terminal can show it: what a server holds may be anything.
func printable(text string) string {
	clean := true
	for _, r := range text {
		if r == utf8.RuneError || !strconv.IsPrint(r) {
			clean = false
			break
		}
	}
	if clean {
		return text
	}
	var b strings.Builder
	for len(text) > 0 {
		r, n := utf8.DecodeRuneInString(text)
		if r == utf8.RuneError && n == 1 {
			fmt.Fprintf(&b, `\x%02x`, text[0])
		} else if strconv.IsPrint(r) {
			b.WriteRune(r)
		} else {
			q := strconv.QuoteRune(r)
			b.WriteString(q[1 : len(q)-1])
		}
		text = text[n:]
	}
	return b.String()
}

// isTerminal reports whether f is one, or another device that takes characters.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// progressPause is the least time between two changes of the line of progress.
const progressPause = 200 * time.Millisecond

// A progress is a line on a terminal that says how far a command is. Elsewhere it is silent.
type progress struct {
	w     io.Writer // nil: silent
	last  time.Time
	shown bool
	rows  bool // the results go to a terminal, too
}

func newProgress(stderr *os.File, rows bool) *progress {
	if !isTerminal(stderr) {
		return &progress{}
	}
	return &progress{w: stderr, rows: rows, last: time.Now()}
}

func (p *progress) say(format string, args ...any) {
	if p.w == nil || time.Since(p.last) < progressPause {
		return
	}
	p.last, p.shown = time.Now(), true
	fmt.Fprint(p.w, "\r\x1b[K"+fmt.Sprintf(format, args...))
}

// clear takes the line away.
func (p *progress) clear() {
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.shown = false
	}
}

// write flushes results, above the line of progress where they go to a terminal.
func (c *call) write() error {
	if c.progress.rows {
		c.progress.clear()
	}
	return c.out.flush()
}

// short writes a duration without needless digits.
func short(d time.Duration) string {
	switch {
	case d >= time.Hour:
		d = d.Round(time.Minute)
	case d >= time.Minute:
		d = d.Round(time.Second)
	case d >= time.Second:
		d = d.Round(100 * time.Millisecond)
	default:
		d = d.Round(time.Millisecond)
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// many writes a number of things: 1 session, 2 sessions.
func many(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}
