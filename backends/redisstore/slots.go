package redisstore

import (
	"context"
	"slices"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/sessionkv/store/backends/redisstore/internal/batch"
	"github.com/sessionkv/store/internal/keyspace"
)

// Renewals of a cluster are merged by slot, since a script has keys of one slot only.
//
//  1. The registry of the process keeps sessions by their places, and so a round has all sessions of some slots: at 10⁵
//     sessions there are six in a slot. Those of a round that chooses by chance are in a slot each.
//  2. The sessions of a slot, two or more, are renewed by one script, and those of a node in one pipeline. At 10⁵ sessions
//     that takes client and servers 0.6 of what a script for each takes.
//  3. While a slot moves, its sessions are renewed individually.

// Places implements [store.Placer]: a slot is a place.
func (b *Backend) Places() func(id string) uint32 {
	if !b.made() || b.nodes == nil || b.merger == nil {
		return nil
	}
	prefix := crc16(0, b.namespace.Session(""))
	return func(id string) uint32 {
		const shift = 32 - 14
		return uint32(crc16(prefix, keyspace.Escape(id))%slotCount) << shift
	}
}

// slotOf returns the slot of a session or a list. Their names have no braces.
func slotOf(name string) uint16 { return crc16(0, name) % slotCount }

// crc16 goes on with the checksum by which a cluster finds the slot of a key: CRC-16/XMODEM.
func crc16(crc uint16, s string) uint16 {
	for i := range len(s) {
		crc = crc<<8 ^ crcTable[byte(crc>>8)^s[i]]
	}
	return crc
}

var crcTable = func() (table [256]uint16) {
	const polynomial = 0x1021
	for i := range table {
		crc := uint16(i) << 8
		for range 8 {
			carry := crc >> 15
			crc = crc<<1 ^ carry*polynomial
		}
		table[i] = crc
	}
	return table
}()

// inOrder puts what there is to do in the order of the slots.
func (r *renewal) inOrder() {
	if len(r.todo) < 2 || r.lease == 0 || r.b.nodes == nil {
		return
	}
	// Numbers are sorted several times faster than targets.
	order := make([]uint64, len(r.todo))
	for i := range r.todo {
		t := &r.todo[i]
		t.slot = slotOf(t.name.(string))
		order[i] = uint64(t.slot)<<32 | uint64(i)
	}
	slices.Sort(order)
	todo := make([]target, len(r.todo))
	for i, at := range order {
		todo[i] = r.todo[uint32(at)]
	}
	r.todo = todo
}

// groups divides chunk into what one script each can do, and the rest that is alone in its slot.
func (r *renewal) groups(chunk []target) (groups [][]target, rest []target) {
	if r.b.nodes == nil {
		return slices.Collect(slices.Chunk(chunk, renewGroup)), nil
	}
	for len(chunk) > 0 {
		n := 1
		for n < min(len(chunk), renewGroup) && chunk[n].slot == chunk[0].slot {
			n++
		}
		if n == 1 {
			rest = append(rest, chunk[0])
		} else {
			groups = append(groups, chunk[:n:n])
		}
		chunk = chunk[n:]
	}
	return groups, rest
}

// ofTheSlot reports whether a node refused a script because the slot moves or has moved. It may also have refused a
// script before it in the pipeline so, which would have taught it.
func ofTheSlot(err error) bool {
	return batch.Redirected(err) || redis.IsTryAgainError(err) || redis.IsClusterDownError(err) || redis.HasErrorPrefix(err, "NOSCRIPT")
}

// runOn executes a pipeline on each node.
func runOn(ctx context.Context, nodes map[*redis.Client][]redis.Cmder) {
	var wg sync.WaitGroup
	for node, cmds := range nodes {
		wg.Go(func() { batch.Run(ctx, node, cmds...) })
	}
	wg.Wait()
}
