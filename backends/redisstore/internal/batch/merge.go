package batch

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// Fewer commands are not worth merging. More would keep the server from others
// for too long: a script is one step.
const (
	minMerged = 4
	maxMerged = 64
)

// A group is several calls that are executed as one command.
type group struct {
	*call // of the one command
	calls []*call
	cmds  []redis.Cmder // theirs
}

// merge makes groups of the calls of bt that fit together, and puts their
// commands in the pipeline.
func (l *lane) merge(bt *batch) {
	m := l.b.opts.Merger
	if m == nil || l.b.cluster != nil {
		return
	}
	for _, c := range bt.calls {
		if m.Fits(c.Cmder) {
			bt.fitting = append(bt.fitting, c)
		}
	}
	if len(bt.fitting) < minMerged || !m.Ready() {
		return
	}
	for rest := bt.fitting; len(rest) >= minMerged; {
		n := min(len(rest), maxMerged)
		cmds := make([]redis.Cmder, n)
		for i, c := range rest[:n] {
			c.merged = true
			cmds[i] = c.Cmder
		}
		g := group{newCall(context.Background(), m.Merge(cmds)), rest[:n:n], cmds}
		g.call.group = g.calls
		bt.groups = append(bt.groups, g)
		bt.cmds = append(bt.cmds, g.call)
		rest = rest[n:]
	}
}

// split hands the outcome of each group to its calls, and sends individually
// those that the server refused to execute as part of it. Calls whose callers have
// left are not sent again: they were not executed, and are not to be any more.
func (l *lane) split(bt *batch) {
	var alone, doubted []redis.Cmder
	for _, g := range bt.groups {
		executed := g.Cmder.Err() == nil
		for _, i := range l.b.opts.Merger.Split(g.Cmder, g.cmds) {
			c := g.calls[i]
			if c.state.Load() == left {
				continue
			}
			alone = append(alone, c)
			if executed {
				doubted = append(doubted, c.Cmder)
			}
		}
		g.free()
	}
	if len(alone) == 0 {
		return
	}
	flush(bt.pipe, alone)
	if len(doubted) > 0 {
		l.b.opts.Merger.Learn(doubted)
	}
}
