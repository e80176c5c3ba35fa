package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/sessionkv/store/bench/internal/report"
)

// An output is a file that the report goes to.
type output struct {
	file  *os.File
	write func(*report.Report, io.Writer) error
}

func openOutputs(o *options) (all []output, err error) {
	for _, out := range []struct {
		flag, name string
		write      func(*report.Report, io.Writer) error
	}{{"-json", o.jsonFile, writeJSON}, {"-html", o.htmlFile, (*report.Report).HTML}} {
		if out.name == "" {
			continue
		}
		f, err := os.Create(out.name)
		if err != nil {
			return nil, fmt.Errorf("cannot write %s: %w", out.flag, err)
		}
		all = append(all, output{f, out.write})
	}
	return all, nil
}

func writeJSON(r *report.Report, w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(r)
}

func writeOutputs(all []output, r *report.Report) (err error) {
	for _, out := range all {
		if werr := errors.Join(out.write(r, out.file), out.file.Close()); werr != nil {
			err = errors.Join(err, fmt.Errorf("the results are not in the file: %w", werr))
		}
	}
	return err
}
