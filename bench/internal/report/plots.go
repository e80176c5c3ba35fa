package report

import (
	"bytes"
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
)

// plots draws what the report has data for.
func (r *Report) plots() ([]section, error) {
	var all []section
	for _, make := range []func() (section, error){r.latencyCurves, r.throughput, r.memory} {
		s, err := make()
		if err != nil {
			return nil, err
		}
		if len(s.Figures) > 0 {
			all = append(all, s)
		}
	}
	return all, nil
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
		if len(s.points) == 0 {
			continue
		}
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

// latencyCurves draws a figure for each workload and number of workers.
func (r *Report) latencyCurves() (section, error) {
	s := section{Title: "Latency", Text: "How long the given part of all operations took at most. The axes are logarithmic: each step to the right is one operation in ten fewer."}
	type group struct {
		workload string
		workers  int
		rate     float64
	}
	var order []group
	groups := map[group][]series{}
	for _, c := range r.Cases {
		g := group{c.Workload, c.Workers, c.Rate}
		if _, ok := groups[g]; !ok {
			order = append(order, g)
		}
		line := series{name: c.System}
		for _, p := range c.Summary.Curve {
			line.points = append(line.points, plotter.XY{X: 1 / (1 - min(p.Percentile, 99.9999)/100), Y: float64(max(p.Nanoseconds, 1)) / 1000})
		}
		groups[g] = append(groups[g], line)
	}
	for _, g := range order {
		title := fmt.Sprintf("workload %s, %d workers", g.workload, g.workers)
		if g.rate > 0 {
			title += fmt.Sprintf(", %.0f operations/s", g.rate)
		}
		if err := s.draw(title, "1 of so many operations is slower", "microseconds", true, groups[g]); err != nil {
			return s, err
		}
	}
	return s, nil
}

func (s *section) draw(title, x, y string, logY bool, all []series) error {
	if !slices.ContainsFunc(all, func(s series) bool { return len(s.points) > 0 }) {
		return nil
	}
	figure, err := lines(title, x, y, logY, all)
	if err == nil {
		s.Figures = append(s.Figures, figure)
	}
	return err
}

// throughput draws a figure for each workload.
func (r *Report) throughput() (section, error) {
	s := section{Title: "Throughput against workers", Text: "Median of the repeats."}
	var order []string
	byWorkload := map[string]map[string]*series{}
	var systems []string
	for _, c := range r.Cases {
		if c.Summary.PerSecond == 0 {
			continue
		}
		if byWorkload[c.Workload] == nil {
			byWorkload[c.Workload] = map[string]*series{}
			order = append(order, c.Workload)
		}
		if !slices.Contains(systems, c.System) {
			systems = append(systems, c.System)
		}
		line := byWorkload[c.Workload][c.System]
		if line == nil {
			line = &series{name: c.System}
			byWorkload[c.Workload][c.System] = line
		}
		line.points = append(line.points, plotter.XY{X: float64(c.Workers), Y: c.Summary.PerSecond / 1000})
	}
	for _, w := range order {
		var all []series
		for _, name := range systems {
			if line := byWorkload[w][name]; line != nil {
				slices.SortFunc(line.points, func(a, b plotter.XY) int { return int(a.X - b.X) })
				all = append(all, *line)
			}
		}
		if err := s.draw("workload "+w, "workers", "thousand operations/s", true, all); err != nil {
			return s, err
		}
	}
	return s, nil
}

// memory draws the bytes per session of the systems.
func (r *Report) memory() (section, error) {
	s := section{Title: "Memory against sessions", Text: "Bytes per session. Very few sessions share what is there once."}
	seen := map[string]bool{}
	var all []series
	for _, c := range r.Cases {
		bytes := c.BytesPerSession + c.ServerBytesPerSession
		if !seen[c.System] && bytes > 0 {
			seen[c.System] = true
			all = append(all, series{c.System, plotter.XYs{{X: float64(c.Sessions), Y: bytes}}})
		}
	}
	return s, s.draw("systems, process and server together", "sessions", "bytes per session", false, all)
}
