package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/codec"
	"github.com/sessionkv/store/inspect"
)

var showCommand = &command{
	name: "show", usage: []string{"show [flags] ID"}, args: "an ID", summary: "show the values of a session", least: 1, most: 1,
	help: `
Show decodes the values of one session without their Go types. Stored bytes do not say which codec wrote them, so it takes the
first that fits: that of -codec, msgpack, JSON, raw. So a single digit in JSON reads as a number of msgpack, unless -codec says json.

Values are written as JSON. What JSON does not have is an object with one name: $bytes in base64, $time, $float, $extension, and $omitted for what
is too large or has the session's ID in it. All else is shown, but sealed values stay sealed.`,
	flags: func(set *flag.FlagSet, f *flags) {
		set.StringVar(&f.codec, "codec", "msgpack", "the `CODEC` to try first: msgpack, json or raw")
	},
	run: show,
}

func show(ctx context.Context, c *call) error {
	in, err := c.codecOf()
	if err != nil {
		return err
	}
	targets, err := c.targets(ctx, c.args)
	if err != nil {
		return err
	}
	if len(targets) > 1 {
		return wrongf("show: it shows one session, and %d were named", len(targets))
	}
	if err := c.open(ctx, nil); err != nil {
		return err
	}
	if err := c.identify(ctx, targets); err != nil {
		return err
	}
	var s *session
	if id := targets[0].id; id != "" {
		if s, err = c.look(ctx, id); err != nil {
			return err
		}
	}
	if s == nil {
		return errors.New("no such session lives")
	}
	values, err := c.decoded(ctx, s.id, in)
	if err != nil {
		return err
	}
	size := 0
	for _, v := range values {
		size += v.Bytes
	}
	if c.json {
		return c.out.object(struct {
			ref
			LeftMS *int64  `json:"left_ms,omitempty"`
			Values []value `json:"values"`
		}{c.ref(s.id), s.leftMillis(), values})
	}
	c.out.line("Session %s, time left %s, %s in %s", c.label(s.id), s.leftText(), bytesText(size), many(len(values), "key"))
	if len(values) == 0 {
		return nil
	}
	c.out.row("KEY", "ENCODING", "BYTES", "VALUE")
	for _, v := range values {
		encoding := v.Encoding
		if v.Version > 0 {
			encoding += fmt.Sprintf(" v%d", v.Version)
		}
		c.out.row(v.Key, encoding, bytesText(v.Bytes), string(v.Value))
	}
	return nil
}

// A value is one value of a session, as far as its bytes tell.
type value struct {
	Key      string          `json:"key"`
	Bytes    int             `json:"bytes"`
	Encoding string          `json:"encoding"`          // msgpack, json, raw, sealed or unread
	Version  int             `json:"version,omitempty"` // of codec.Versioned
	Value    json.RawMessage `json:"value,omitempty"`
}

// decoded returns the values of a session.
func (c *call) decoded(ctx context.Context, id string, in codec.Codec) ([]value, error) {
	ss, err := store.New(c.store, &store.Options{Codec: in})
	if err != nil {
		return nil, err
	}
	defer ss.Close(context.WithoutCancel(ctx))
	var dumped []inspect.Value
	for range 5 {
		var s *store.Session
		if s, err = ss.Attach(ctx, id); err != nil {
			return nil, err
		}
		if dumped, err = inspect.Dump(ctx, s); !errors.Is(err, store.ErrDestroyed) {
			break
		} // it is over, or another node has resumed it
	}
	if err != nil {
		return nil, err
	}
	values := []value{}
	for _, d := range dumped {
		v := value{Key: c.keyOf(d.Key, id), Bytes: d.Size, Encoding: d.Encoding, Version: d.Version}
		if d.Encoding != "sealed" {
			v.Value = jsonOf(d.Data)
		}
		values = append(values, v)
	}
	return values, nil
}
