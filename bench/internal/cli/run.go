package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sessionkv/store/backends"
	"github.com/sessionkv/store/bench/internal/address"
	"github.com/sessionkv/store/bench/internal/delay"
	"github.com/sessionkv/store/bench/internal/drive"
	"github.com/sessionkv/store/bench/internal/report"
	"github.com/sessionkv/store/bench/internal/workload"
)

// cleanupTimeout bounds the removal of what the run made.
const cleanupTimeout = time.Minute

// run measures what o asks for.
func run(ctx context.Context, o *options, r *report.Report, p *progress) error {
	for _, url := range o.stores {
		if err := reach(ctx, url); err != nil {
			return err
		}
	}
	switch o.value {
	case "claims":
		return runCases(ctx, o, r, p, workload.ClaimsPool())
	case "rooms":
		return runCases(ctx, o, r, p, workload.RoomsPool())
	case "handshake":
		return runCases(ctx, o, r, p, workload.HandshakePool())
	}
	return runCases(ctx, o, r, p, workload.StringPool(o.sizes))
}

// runCases measures each system under each workload with each number of workers. All of them are there from the
// beginning and take turns, so that a noisy machine treats them alike.
func runCases[T any](ctx context.Context, o *options, r *report.Report, p *progress, pool []T) (err error) {
	specs := o.specs()
	proxies := delay.NewPool(o.delay)
	defer proxies.Close() // after the cleanup, which goes through them
	var targets []*drive.Target[T]
	defer func() {
		p.say("removing the sessions")
		// Also after an interruption.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
		defer cancel()
		for i, t := range targets {
			if cerr := t.Close(ctx); cerr != nil {
				err = errors.Join(err, fmt.Errorf("%s: cannot remove what was made: %w", specs[i], cerr))
			}
		}
		p.end()
	}()
	p.begin("measuring", len(specs)*(1+len(o.workloads)*len(o.workers)*o.repeat))
	for _, spec := range specs {
		name := spec.String()
		p.say(fmt.Sprintf("%s: creating %d sessions", name, o.sessions))
		url, err := proxies.URL(spec.URL)
		if err != nil {
			return err
		}
		spec.URL = url
		t, err := drive.Open(ctx, spec, o.sessions, o.keys, pool)
		if err != nil {
			return err
		}
		targets = append(targets, t)
		p.step()
		label := name
		if o.delay > 0 && address.Kind(url) == "redis" {
			label += " +" + o.delay.String()
		}
		for _, w := range o.workloads {
			for _, n := range o.workers {
				r.Cases = append(r.Cases, &report.Case{
					System: label, Workload: w.Name, Value: o.value, Workers: n, Rate: o.rate, Sessions: o.sessions, Keys: o.keys,
					Duration: o.duration, BytesPerSession: t.BytesPerSession, ServerBytesPerSession: t.ServerBytesPerSession,
				})
			}
		}
	}
	for round := range o.repeat {
		for wi, w := range o.workloads {
			for ni, n := range o.workers {
				p.say(fmt.Sprintf("round %d of %d, workload %s, %d workers", round+1, o.repeat, w.Name, n))
				// Another one goes first in each round.
				for k := range targets {
					if ctx.Err() != nil {
						return ctx.Err()
					}
					i := (k + round) % len(targets)
					s := targets[i].Run(ctx, drive.Options{Workload: w, Workers: n, Duration: o.duration, Rate: o.rate, Seed: uint64(round)})
					r.Cases[(i*len(o.workloads)+wi)*len(o.workers)+ni].Add(s)
					p.step()
				}
			}
		}
	}
	return nil
}

// reach finds out at once whether a backend can be used, and not after minutes.
func reach(ctx context.Context, url string) error {
	b, err := backends.Open(ctx, address.Own(url))
	if err != nil {
		return fmt.Errorf("%s: %w", address.Redact(url), err)
	}
	return b.Close()
}
