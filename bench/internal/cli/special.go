package cli

import (
	"context"
	"fmt"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/bench/internal/address"
	"github.com/sessionkv/store/bench/internal/goals"
	"github.com/sessionkv/store/bench/internal/growth"
	"github.com/sessionkv/store/bench/internal/report"
)

// runSpecial measures what has a flag of its own.
func runSpecial(ctx context.Context, o *options, r *report.Report, p *progress) error {
	defer p.end()
	if o.growth {
		if err := measureGrowth(ctx, o, r, p); err != nil {
			return err
		}
	}
	if !o.goals {
		return nil
	}
	g := goals.Options{Duration: o.duration, Repeat: o.repeat, Say: p.say, Only: o.onlyGoals}
	for _, url := range o.stores {
		switch address.Kind(url) {
		case "redis":
			if g.Redis == "" {
				g.Redis = url
			} else {
				g.FurtherRedis = append(g.FurtherRedis, url)
			}
		case "hazelcast":
			g.Hazelcast = url
		}
	}
	return goals.All(ctx, g, func(goal report.Goal) { r.Goals = append(r.Goals, goal) })
}

// measureGrowth measures on the Redis servers that are given, and on memory where none is or memory is named, too.
func measureGrowth(ctx context.Context, o *options, r *report.Report, p *progress) error {
	var servers []string
	memory := false
	for _, url := range o.stores {
		switch {
		case address.Single(url):
			servers = append(servers, url)
		case address.Kind(url) == "memory":
			memory = true
		}
	}
	sizes := growth.Sizes()
	if len(servers) > 0 && !memory {
		sizes = nil
	}
	p.begin("growth", len(sizes)+len(servers)*len(growth.ServerSizes()))
	defer p.end()
	for _, size := range sizes {
		p.say(fmt.Sprintf("growth: %d sessions with %d keys", size.Sessions, size.Keys))
		g, err := growth.Measure(ctx, size)
		if err != nil {
			return err
		}
		r.Growth = append(r.Growth, g)
		p.step()
	}
	for _, url := range servers {
		for _, n := range growth.ServerSizes() {
			p.say(fmt.Sprintf("growth: %d sessions on %s", n, address.Redact(url)))
			g, err := growth.MeasureServer(ctx, url, n, store.DefaultLease)
			if err != nil {
				return err
			}
			r.ServerGrowth = append(r.ServerGrowth, g)
			p.step()
		}
	}
	return nil
}
