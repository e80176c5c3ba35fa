package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	maxMessage = 8 << 10 // bytes of one message on the wire; the socket is closed beyond
	maxText    = 2000    // characters that can be said at once
	maxName    = 32      // characters of a nickname, room or user
	maxRooms   = 16      // rooms of one session
)

// A request is what a client sends.
type request struct {
	Type string `json:"type"`
	Room string `json:"room,omitempty"` // say, join, leave
	Text string `json:"text,omitempty"` // say
	Name string `json:"name,omitempty"` // nickname
}

// parseRequest returns the request in data, or an error that tells the client
// what to mend.
func parseRequest(data []byte) (request, error) {
	var r request
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&r); err != nil {
		return r, fmt.Errorf("this is not a message: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := dec.Token(); err != io.EOF {
		return r, errors.New("this is not a message: something follows the JSON object")
	}
	switch r.Type {
	case "say":
		r.Text = strings.TrimSpace(r.Text)
		switch n := utf8.RuneCountInString(r.Text); {
		case n == 0:
			return r, errors.New("there is nothing to say: text is empty")
		case n > maxText:
			return r, fmt.Errorf("text has %d characters, at most %d are allowed", n, maxText)
		}
		return r, checkName("room", r.Room)
	case "join", "leave":
		return r, checkName("room", r.Room)
	case "nickname":
		r.Name = strings.TrimSpace(r.Name)
		return r, checkName("nickname", r.Name)
	case "watch", "state", "bye":
		return r, nil
	case "":
		return r, errors.New("the message has no type: use say, nickname, join, leave, watch, state or bye")
	}
	return r, fmt.Errorf("unknown type %.32q: use say, nickname, join, leave, watch, state or bye", r.Type)
}

// checkName reports whether name can name a person or a room.
func checkName(what, name string) error {
	switch n := utf8.RuneCountInString(name); {
	case n == 0:
		return fmt.Errorf("%s is empty", what)
	case n > maxName:
		return fmt.Errorf("%s has %d characters, at most %d are allowed", what, n, maxName)
	case !utf8.ValidString(name):
		return fmt.Errorf("%s is not valid UTF-8", what)
	}
	for _, r := range name {
		if !unicode.IsPrint(r) {
			return fmt.Errorf("%s has a character that cannot be printed: %q", what, r)
		}
	}
	if strings.TrimSpace(name) != name {
		return fmt.Errorf("%s begins or ends with a space", what)
	}
	return nil
}

// What a client receives. Each has its type first.
type (
	welcome struct {
		Type    string  `json:"type"` // "welcome"
		Node    string  `json:"node"`
		Store   string  `json:"store"`
		Session string  `json:"session"` // the ID, for this client alone: with it the session can be resumed
		Resumed bool    `json:"resumed"`
		Notice  string  `json:"notice,omitempty"`
		Grace   float64 `json:"grace"` // seconds that the session outlives the connection
		State   view    `json:"state"`
		Ops     []op    `json:"ops"`
	}

	state struct {
		Type  string `json:"type"` // "state"
		State view   `json:"state"`
		Ops   []op   `json:"ops"`
	}

	said struct {
		Type string    `json:"type"` // "said"
		Room string    `json:"room"`
		From string    `json:"from"` // nickname
		Hash string    `json:"hash"` // of the session that said it
		Text string    `json:"text"`
		N    int64     `json:"n"` // the session's message counter
		At   time.Time `json:"at"`
	}

	news struct {
		Type string    `json:"type"` // "news"
		Room string    `json:"room"`
		Text string    `json:"text"`
		At   time.Time `json:"at"`
	}

	failure struct {
		Type string `json:"type"` // "error"
		Text string `json:"text"`
	}

	table struct {
		Type      string      `json:"type"` // "sessions"
		Node      string      `json:"node"`
		Total     int         `json:"total"` // live sessions of this node; rows may be fewer
		Rows      []view      `json:"rows"`
		Suspended []suspended `json:"suspended"`
	}

	suspended struct {
		Hash     string    `json:"hash"`
		Nickname string    `json:"nickname"`
		Until    time.Time `json:"until"`
		user     string
	}
)

// encode returns event as JSON. Our events always encode.
func encode(event any) []byte {
	data, err := json.Marshal(event)
	if err != nil {
		panic(err)
	}
	return data
}
