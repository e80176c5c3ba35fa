package report

import (
	_ "embed"
	"html/template"
	"io"
	"strings"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Parse(pageText))

// A section of the page has plots of one kind.
type section struct {
	Title, Text string
	Figures     []template.HTML // SVG that was made here
}

// HTML writes the report as one page that needs nothing else, with plots.
func (r *Report) HTML(w io.Writer) error {
	var tables strings.Builder
	if err := r.Text(&tables); err != nil {
		return err
	}
	plots, err := r.plots()
	if err != nil {
		return err
	}
	return page.Execute(w, struct {
		*Report
		Plots  []section
		Tables string
	}{r, plots, tables.String()})
}
