package socketio

import (
	"context"
	"slices"

	"github.com/zishang520/socket.io/servers/socket/v3"

	"github.com/sessionkv/store"
)

// Rooms keeps the rooms that a socket joined through [Adapter.Join].
const Rooms = store.Key[[]string]("socketio.rooms")

// Join lets s join rooms, and keeps their names in its session: when the client
// comes back, on whatever node, its socket joins them again.
func (a *Adapter) Join(ctx context.Context, s *socket.Socket, rooms ...string) error {
	return a.changeRooms(ctx, s, func(old []string) []string {
		for _, r := range rooms {
			if !slices.Contains(old, r) {
				old = append(old, r)
			}
		}
		return old
	}, func() { s.Join(roomsOf(rooms)...) })
}

// Leave undoes Join.
func (a *Adapter) Leave(ctx context.Context, s *socket.Socket, rooms ...string) error {
	return a.changeRooms(ctx, s, func(old []string) []string {
		return slices.DeleteFunc(old, func(r string) bool { return slices.Contains(rooms, r) })
	}, func() {
		for _, r := range rooms {
			s.Leave(socket.Room(r))
		}
	})
}

// changeRooms writes first: a room that is joined is one that is kept.
func (a *Adapter) changeRooms(ctx context.Context, s *socket.Socket, change func([]string) []string, then func()) error {
	c, ok := a.conn(s)
	if !ok {
		return errNoSession
	}
	_, err := Rooms.Update(ctx, c.sess, func(old []string, _ bool) ([]string, error) {
		return change(slices.Clone(old)), nil
	})
	if err == nil {
		then()
	}
	return err
}

func roomsOf(names []string) []socket.Room {
	rooms := make([]socket.Room, len(names))
	for i, name := range names {
		rooms[i] = socket.Room(name)
	}
	return rooms
}
