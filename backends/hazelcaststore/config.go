package hazelcaststore

import (
	"context"
	"fmt"
	"math"
	"time"
)

// minDefaultTTL is the shortest default time to live that is of use.
const minDefaultTTL = 10 * time.Second

// inspect looks at how the members keep entries of the map, by way of an entry
// that lives for a moment.
func (b *Backend) inspect(ctx context.Context) error {
	key := probeKey("probe")
	before, after := []byte{0}, []byte{1}
	if _, err := b.grid.PutIfAbsentWithTTL(ctx, key, before, minDefaultTTL); err != nil {
		return err
	}
	same, err := b.grid.ReplaceIfSame(ctx, key, before, after)
	if err != nil {
		return err
	}
	if !same {
		b.grid.RemoveIfSame(ctx, key, before)
		return b.misconfigured("the map does not compare values by their bytes",
			"<in-memory-format>BINARY</in-memory-format>", "in-memory-format: BINARY")
	}
	view, err := b.grid.GetEntryView(ctx, key)
	if err != nil {
		return err
	}
	gone, err := b.grid.RemoveIfSame(ctx, key, after)
	if err != nil {
		return err
	}
	if view == nil || !gone {
		return b.misconfigured("an entry vanished within a moment", "<time-to-live-seconds>300</time-to-live-seconds>", "time-to-live-seconds: 300")
	}
	switch ttl := view.TTL; {
	case ttl <= 0 || ttl == math.MaxInt64:
		return b.misconfigured("entries have no default time to live, so sessions whose owner dies would stay for ever",
			"<time-to-live-seconds>300</time-to-live-seconds>", "time-to-live-seconds: 300")
	case time.Duration(ttl)*time.Millisecond < minDefaultTTL:
		return b.misconfigured(fmt.Sprintf("the default time to live is less than %v", minDefaultTTL),
			"<time-to-live-seconds>300</time-to-live-seconds>", "time-to-live-seconds: 300")
	case view.MaxIdle > 0 && view.MaxIdle != math.MaxInt64:
		return b.misconfigured("entries that are idle are dropped, and with them sessions before their leases end",
			"<max-idle-seconds>0</max-idle-seconds>", "max-idle-seconds: 0")
	}
	b.defaultTTL = time.Duration(min(view.TTL, maxLease.Milliseconds())) * time.Millisecond
	return nil
}

func (b *Backend) misconfigured(why, xml, yaml string) error {
	name := b.mapName()
	return fmt.Errorf(`%w: %s; on every member, configure the map in hazelcast.xml:
  <map name="%s">
    %s
  </map>
or in hazelcast.yaml:
  map:
    "%s":
      %s`, ErrMapConfig, why, name, xml, name, yaml)
}
