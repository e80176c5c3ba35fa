package report

import (
	"bytes"
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Parse(pageText))

// HTML writes the report as one page that needs nothing else, with plots.
func (r *Report) HTML(w io.Writer) error {
	var tables strings.Builder
	if err := r.Text(&tables); err != nil {
		return err
	}
	var sections []section
	for _, s := range []section{
		{
			Title: "Latency", x: "1 of so many operations is slower", y: "microseconds", logY: true, of: latencyCurve,
			Text: "How long the given part of all operations took at most. The axes are logarithmic: each step to the right is one operation in ten fewer.",
		},
		{Title: "Throughput against workers", Text: "Median of the repeats.", x: "workers", y: "thousand operations/s", logY: true, of: throughput},
		{Title: "Memory against sessions", Text: "Bytes per session. Very few sessions share what is there once.", x: "sessions", y: "bytes per session", of: memory},
	} {
		if err := s.draw(r.Cases); err != nil {
			return err
		}
		if len(s.Figures) > 0 {
			sections = append(sections, s)
		}
	}
	return page.Execute(w, struct {
		*Report
		Plots  []section
		Tables string
	}{r, sections, tables.String()})
}

// A section of the page has plots of one kind: a figure for each title that of returns, with a line for each system.
type section struct {
	Title, Text string
	Figures     []template.HTML // SVG that was made here

	x, y string
	logY bool
	of   func(*Case) (title string, points plotter.XYs)
}

func latencyCurve(c *Case) (title string, points plotter.XYs) {
	title = fmt.Sprintf("workload %s, %d workers", c.Workload, c.Workers)
	if c.Rate > 0 {
		title += fmt.Sprintf(", %.0f operations/s", c.Rate)
	}
	for _, p := range c.Summary.Curve {
		points = append(points, plotter.XY{X: 1 / (1 - min(p.Percentile, 99.9999)/100), Y: float64(max(p.Nanoseconds, 1)) / 1000})
	}
	return title, points
}

func throughput(c *Case) (title string, points plotter.XYs) {
	if c.Summary.PerSecond > 0 {
		points = plotter.XYs{{X: float64(c.Workers), Y: c.Summary.PerSecond / 1000}}
	}
	return "workload " + c.Workload, points
}

func memory(c *Case) (title string, points plotter.XYs) {
	if bytes := c.BytesPerSession + c.ServerBytesPerSession; bytes > 0 {
		points = plotter.XYs{{X: float64(c.Sessions), Y: bytes}}
	}
	return "systems, process and server together", points
}

func (s *section) draw(cases []*Case) error {
	var titles []string
	figures := map[string][]series{}
	for _, c := range cases {
		title, points := s.of(c)
		if len(points) == 0 {
			continue
		}
		if !slices.Contains(titles, title) {
			titles = append(titles, title)
		}
		all := figures[title]
		i := slices.IndexFunc(all, func(line series) bool { return line.name == c.System })
		if i < 0 {
			i, all = len(all), append(all, series{name: c.System})
		}
		all[i].points = append(all[i].points, points...)
		figures[title] = all
	}
	for _, title := range titles {
		for i, line := range figures[title] {
			slices.SortStableFunc(line.points, func(a, b plotter.XY) int { return cmp.Compare(a.X, b.X) })
			figures[title][i].points = slices.Compact(line.points)
		}
		figure, err := lines(title, s.x, s.y, s.logY, figures[title])
		if err != nil {
			return err
		}
		s.Figures = append(s.Figures, figure)
	}
	return nil
}

// A series is a named line.
type series struct {
	name   string
	points plotter.XYs
}

// lines draws series over a logarithmic axis, and the other one logarithmic where asked for.
func lines(title, x, y string, logY bool, all []series) (template.HTML, error) {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.Add(plotter.NewGrid())
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	if logY {
		p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	} else {
		p.Y.Min = 0
	}
	p.Legend.Top, p.Legend.Left = true, true
	for i, s := range all {
		l, dots, err := plotter.NewLinePoints(s.points)
		if err != nil {
			return "", err
		}
		l.Color, l.Dashes, l.Width = plotutil.Color(i), plotutil.Dashes(i/7), vg.Points(1.5)
		dots.Color, dots.Shape, dots.Radius = l.Color, plotutil.Shape(i), vg.Points(2)
		p.Add(l, dots)
		p.Legend.Add(s.name, l, dots)
	}
	// Above the highest line there is room for the legend.
	if logY {
		p.Y.Max *= math.Pow(p.Y.Max/p.Y.Min, 0.3)
	} else {
		p.Y.Max *= 1.3
	}
	// A line needs room: equal ends are moved apart.
	if p.X.Min == p.X.Max {
		p.X.Min, p.X.Max = p.X.Min/2, p.X.Max*2
	}
	if logY && p.Y.Min == p.Y.Max {
		p.Y.Min, p.Y.Max = p.Y.Min/2, p.Y.Max*2
	}
	return svg(p)
}

func svg(p *plot.Plot) (template.HTML, error) {
	w, err := p.WriterTo(20*vg.Centimeter, 13*vg.Centimeter, "svg")
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	if _, err := w.WriteTo(&b); err != nil {
		return "", err
	}
	// Within a page the XML declaration and the comments before <svg go.
	text := b.String()
	return template.HTML(text[max(strings.Index(text, "<svg"), 0):]), nil
}
