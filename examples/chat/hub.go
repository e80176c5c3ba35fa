package main

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// A hub has the connections of this process. Rooms and what is said in them
// stay within it: the store shares state between nodes, it does not carry
// messages.
type hub struct {
	mu        sync.Mutex
	clients   map[*client]struct{}            // guarded by mu
	rooms     map[string]map[*client]struct{} // guarded by mu; mirrors the sessions' Rooms
	suspended map[string]suspended            // guarded by mu; by hash
	changed   chan struct{}                   // has one element when the table is out of date
}

func newHub() *hub {
	return &hub{
		clients:   map[*client]struct{}{},
		rooms:     map[string]map[*client]struct{}{},
		suspended: map[string]suspended{},
		changed:   make(chan struct{}, 1),
	}
}

// touch says that some session has changed.
func (h *hub) touch() {
	select {
	case h.changed <- struct{}{}:
	default:
	}
}

// add sends the greeting to c and lists c in its rooms, in one step: c hears
// everything that is said after the greeting, and nothing before it.
func (h *hub) add(c *client, rooms []string, greeting []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c.send(greeting)
	h.clients[c] = struct{}{}
	delete(h.suspended, c.hash)
	h.place(c, rooms)
	h.touch()
}

// move puts c into rooms, and out of all others.
func (h *hub) move(c *client, rooms []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.clients[c]; ok {
		h.place(c, rooms)
	}
	h.touch()
}

// place makes h.rooms say that c is in rooms. Its caller holds mu.
func (h *hub) place(c *client, rooms []string) {
	for _, room := range c.rooms {
		delete(h.rooms[room], c)
		if len(h.rooms[room]) == 0 {
			delete(h.rooms, room)
		}
	}
	c.rooms = slices.Clone(rooms)
	for _, room := range rooms {
		if h.rooms[room] == nil {
			h.rooms[room] = map[*client]struct{}{}
		}
		h.rooms[room][c] = struct{}{}
	}
}

// remove takes c off all lists and returns the rooms that it was in.
func (h *hub) remove(c *client) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	rooms := c.rooms
	h.place(c, nil)
	delete(h.clients, c)
	h.touch()
	return rooms
}

// broadcast sends event to everybody in room. It never waits for anybody.
func (h *hub) broadcast(room string, event any) {
	data := encode(event)
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.rooms[room] {
		c.send(data)
	}
}

// tellWatchers sends an encoded event to those who watch the table.
func (h *hub) tellWatchers(data []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.clients {
		if c.watching.Load() {
			c.send(data)
		}
	}
}

// watched reports whether anybody watches the table.
func (h *hub) watched() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.clients {
		if c.watching.Load() {
			return true
		}
	}
	return false
}

// find returns the connections of the session with that hash.
func (h *hub) find(hash string) []*client {
	h.mu.Lock()
	defer h.mu.Unlock()
	var found []*client
	for c := range h.clients {
		if c.hash == hash {
			found = append(found, c)
		}
	}
	return found
}

// size returns the number of connections.
func (h *hub) size() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.clients)
}

// suspend lists a session that waits for its client to come back.
func (h *hub) suspend(row suspended) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.expire()
	if len(h.suspended) < maxRows {
		h.suspended[row.Hash] = row
	}
	h.touch()
}

// forget takes the session with that hash, which has been destroyed, off the list
// of those that wait.
func (h *hub) forget(hash string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.suspended, hash)
	h.touch()
}

// forgetUser does that for all sessions of a user.
func (h *hub) forgetUser(user string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	maps.DeleteFunc(h.suspended, func(_ string, row suspended) bool { return row.user == user })
	h.touch()
}

// suspensions returns those sessions, the next to expire first.
func (h *hub) suspensions() []suspended {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.expire()
	rows := slices.AppendSeq([]suspended{}, maps.Values(h.suspended))
	slices.SortFunc(rows, func(a, b suspended) int { return a.Until.Compare(b.Until) })
	return rows
}

// expire drops what has run out. Its caller holds mu.
func (h *hub) expire() {
	now := time.Now()
	maps.DeleteFunc(h.suspended, func(_ string, row suspended) bool { return !row.Until.After(now) })
}
