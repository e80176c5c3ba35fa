package cli

import (
	"context"

	"github.com/sessionkv/store/bench/internal/address"
	"github.com/sessionkv/store/bench/internal/goals"
	"github.com/sessionkv/store/bench/internal/report"
)

// runGoals measures the goals.
func runGoals(ctx context.Context, o *options, r *report.Report, p *progress) error {
	defer p.end()
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
