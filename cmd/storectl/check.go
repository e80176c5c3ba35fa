package main

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/sessionkv/store"
)

var checkCommand = &command{
	name: "check", usage: []string{"check [flags] [URL]"}, args: "a URL", summary: "see whether a server does what sessions need", most: 1,
	help: `
Check opens the store, begins, renews, resumes and ends one session of its own, and says what
is missing: a right, a command, TLS, another kind of server. It warns of settings that
lose sessions. The URL may also be in STORE_URL or -url.`,
	run: preflight,
}

// preflight runs check.
func preflight(ctx context.Context, c *call) error {
	if len(c.args) > 0 {
		if c.url != "" {
			return wrongf("check: the URL is given twice; leave out -url")
		}
		c.url = c.args[0]
	}
	warnings := &warnings{}
	begun := time.Now()
	if err := c.open(ctx, slog.New(warnings)); err != nil {
		return err
	}
	took := time.Since(begun)
	id := store.NewID()
	raw, err := c.store.Create(ctx, id, nil, store.Terms{Lease: 10 * time.Second})
	if err != nil {
		return err
	}
	if err := raw.Destroy(ctx); err != nil {
		return err
	}
	able := map[string]string{"indexes": "yes", "scan": "yes"}
	if _, err := store.AsIndexer(c.store); err != nil {
		able["indexes"] = "no: " + err.Error()
	}
	scanner, err := store.AsScanner(c.store)
	if err == nil {
		_, _, err = scanner.Scan(ctx, "")
	}
	if err != nil {
		able["scan"] = "no: " + oneLine(err.Error())
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if c.json {
		return c.out.object(struct {
			OK        bool     `json:"ok"`
			Scheme    string   `json:"scheme"`
			Namespace string   `json:"namespace"`
			TookMS    int64    `json:"took_ms"`
			Indexes   string   `json:"indexes"`
			Scan      string   `json:"scan"`
			Warnings  []string `json:"warnings"`
		}{true, c.scheme, c.store.Namespace(), took.Milliseconds(), able["indexes"], able["scan"], warnings.all()})
	}
	c.out.line("The store does what sessions need: %s, namespace %s; opening and trying took %s.", c.scheme, c.store.Namespace(), short(took))
	for _, w := range warnings.all() {
		c.out.line("Warning: %s", w)
	}
	if able["indexes"] != "yes" {
		c.out.line("Sessions cannot be found by their values: %s", able["indexes"])
	}
	if able["scan"] != "yes" {
		c.out.line("Sessions cannot be listed, which only this tool does: %s", able["scan"])
	}
	return nil
}

// warnings is a log that keeps its lines.
type warnings struct {
	mu    sync.Mutex
	lines []string // guarded by mu
}

func (w *warnings) all() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string{}, w.lines...)
}

func (w *warnings) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

func (w *warnings) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool {
		text += ", " + a.Key + " " + a.Value.String()
		return true
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = append(w.lines, oneLine(text))
	return nil
}

func (w *warnings) WithAttrs([]slog.Attr) slog.Handler { return w }
func (w *warnings) WithGroup(string) slog.Handler      { return w }
