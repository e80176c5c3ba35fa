package cli

import (
	"context"

	"github.com/sessionkv/store/bench/internal/report"
)

func runSpecial(ctx context.Context, o *options, r *report.Report, p *progress) error { return nil }

func compareCodecs(ctx context.Context, r *report.Report, p *progress) error { return nil }
