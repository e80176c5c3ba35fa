package report

import (
	"bufio"
	"os"
	"strings"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/sessionkv/store/bench/internal/workload"
)

func latency(h *hdrhistogram.Histogram) Latency {
	p := h.ValueAtPercentilesSlice([]float64{50, 95, 99, 99.9})
	return Latency{h.TotalCount(), p[0], p[1], p[2], p[3], h.Max()}
}

func kindName(kind int) string { return workload.Kind(kind).String() }

// cpuName is the processor's name where Linux tells it.
func cpuName() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
