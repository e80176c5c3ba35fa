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
		n := l.alike(rest)
		if n < minMerged {
			rest = rest[n:] // they are sent individually
			continue
		}
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

// alike brings those of calls that can be in one group with the first to the front, in their order. It returns how many
// they are. Calls of a pipeline run at the same time, so that the order of the others does not matter.
func (l *lane) alike(calls []*call) int {
	n := 1
	for i := 1; i < len(calls) && n < maxMerged; i++ {
		if l.b.opts.Merger.Alike(calls[0].Cmder, calls[i].Cmder) {
			calls[n], calls[i] = calls[i], calls[n]
			n++
		}
	}
	return n
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
