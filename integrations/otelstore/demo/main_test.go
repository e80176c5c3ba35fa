package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/testserver"
)

func TestMain(m *testing.M) { os.Exit(testserver.Main(m)) }

// TestDashboardHasData: the program serves each metric that the dashboard asks for, under the name by which it asks, and
// ends without an error.
func TestDashboardHasData(t *testing.T) {
	asked := metricsOf(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	url := testserver.SharedRedis(t).URL + "?namespace=demo-" + strings.ToLower(store.NewID()[:8])
	go func() { ended <- run(ctx, l, url, 50) }()

	var missing []string
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		served := scrape(t, "http://"+l.Addr().String()+"/metrics")
		missing = slices.DeleteFunc(slices.Clone(asked), func(name string) bool { return served[name] })
		if len(missing) == 0 {
			break
		}
		select {
		case err := <-ended:
			t.Fatalf("run() = %v before it was to end", err)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("the dashboard asks for %q, which the program does not serve", missing)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("run() = %v, want nil", err)
	}
}

// metricsOf returns the metrics that dashboard.json asks for.
func metricsOf(t *testing.T) (names []string) {
	t.Helper()
	var dashboard struct {
		Panels []struct{ Targets []struct{ Expr string } }
	}
	text, err := os.ReadFile("../dashboard.json")
	if err == nil {
		err = json.Unmarshal(text, &dashboard)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			for _, m := range regexp.MustCompile(`\b([a-z_]+)\{`).FindAllStringSubmatch(target.Expr, -1) {
				names = append(names, m[1])
			}
		}
	}
	slices.Sort(names)
	if names = slices.Compact(names); len(names) < 10 {
		t.Fatalf("dashboard.json asks for %q; the test sees too few", names)
	}
	return names
}

// scrape returns the names of the metrics at url that have a value.
func scrape(t *testing.T, url string) map[string]bool {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("GET %s = %d, %v", url, answer.StatusCode, err)
	}
	names := make(map[string]bool)
	for line := range strings.Lines(string(text)) {
		if name, _, ok := strings.Cut(line, "{"); ok && !strings.HasPrefix(line, "#") {
			names[name] = true
		}
	}
	return names
}

func TestRunRefuses(t *testing.T) {
	for _, url := range []string{"redis://127.0.0.1:1?connect_timeout=100ms", "nonsense"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if err := run(t.Context(), l, url, 1); err == nil {
			t.Errorf("run(%q) = nil, want an error", url)
		}
		if _, err := http.Get(fmt.Sprintf("http://%s/metrics", l.Addr())); err == nil {
			t.Error("it still listens")
		}
	}
}
