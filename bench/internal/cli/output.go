package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/sessionkv/store/bench/internal/report"
)

// outputs are the files that the report goes to.
type outputs struct{ json, html *os.File }

func openOutputs(o *options) (outputs, error) {
	var out outputs
	var err error
	if o.jsonFile != "" {
		if out.json, err = os.Create(o.jsonFile); err != nil {
			return out, fmt.Errorf("cannot write -json: %w", err)
		}
	}
	if o.htmlFile != "" {
		if out.html, err = os.Create(o.htmlFile); err != nil {
			return out, fmt.Errorf("cannot write -html: %w", err)
		}
	}
	return out, nil
}

func (o outputs) write(r *report.Report) error {
	var errs []error
	if o.json != nil {
		errs = append(errs, writeFile(o.json, func(w io.Writer) error {
			e := json.NewEncoder(w)
			e.SetIndent("", " ")
			return e.Encode(r)
		}))
	}
	if o.html != nil {
		errs = append(errs, writeFile(o.html, r.HTML))
	}
	return errors.Join(errs...)
}

func writeFile(f *os.File, write func(io.Writer) error) error {
	if err := errors.Join(write(f), f.Close()); err != nil {
		return fmt.Errorf("the results are not in the file: %w", err)
	}
	return nil
}
