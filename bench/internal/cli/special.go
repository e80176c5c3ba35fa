package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/sessionkv/store/bench/internal/address"
	"github.com/sessionkv/store/bench/internal/codecs"
	"github.com/sessionkv/store/bench/internal/goals"
	"github.com/sessionkv/store/bench/internal/growth"
	"github.com/sessionkv/store/bench/internal/report"
)

// runSpecial measures what has a flag of its own.
func runSpecial(ctx context.Context, o *options, r *report.Report, p *progress) error {
	defer p.end()
	if o.compareCodecs {
		if err := compareCodecs(ctx, r, p); err != nil {
			return err
		}
	}
	if o.growth {
		if err := measureGrowth(ctx, r, p); err != nil {
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
			g.Redis = url
		case "hazelcast":
			g.Hazelcast = url
		}
	}
	return goals.All(ctx, g, func(goal report.Goal) { r.Goals = append(r.Goals, goal) })
}

// codecSlice is the time of one turn of one codec.
const codecSlice = 10 * time.Millisecond

func compareCodecs(ctx context.Context, r *report.Report, p *progress) error {
	p.say("comparing codecs")
	var err error
	r.Codecs, err = codecs.Compare(ctx, codecSlice)
	return err
}

func measureGrowth(ctx context.Context, r *report.Report, p *progress) error {
	sizes := growth.Sizes()
	p.begin("growth", len(sizes))
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
	return nil
}
