// Package browser drives a headless browser in the tests of the examples.
package browser

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// patience bounds waiting for what must come.
const patience = 30 * time.Second

// find returns the browser to drive. Where there is none, the test is
// skipped, or fails where the environment variable CI is set.
func find(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	const missing = "no Chromium or Chrome on PATH: install one, e.g. apt-get install chromium"
	if os.Getenv("CI") != "" {
		t.Fatal(missing)
	}
	t.Skip(missing)
	return ""
}

// New opens a tab of a fresh headless browser.
func New(t *testing.T) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(find(t)),
		chromedp.UserDataDir(t.TempDir()),
		chromedp.WindowSize(1280, 800),
		chromedp.NoSandbox,
		chromedp.DisableGPU,
		chromedp.NoFirstRun,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true),
	)
	// Not t.Context: that ends before the cleanups, and the browser with it.
	alloc, cancelAlloc := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(alloc, chromedp.WithErrorf(func(string, ...any) {
		// chromedp reports events here that it does not support yet.
	}))
	t.Cleanup(func() {
		chromedp.Cancel(ctx) // waits until the browser has let go of its files
		cancel()
		cancelAlloc()
	})
	// The browser lives as long as the context of the first Run.
	if err := chromedp.Run(ctx); err != nil {
		t.Fatalf("starting the browser: %v", err)
	}
	return ctx
}

// Do runs actions and fails the test with a picture of the page when one fails.
func Do(t *testing.T, ctx context.Context, what string, actions ...chromedp.Action) {
	t.Helper()
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := chromedp.Run(limited, actions...); err != nil {
		t.Fatalf("%s: %v; the page: %s", what, err, Screenshot(t, ctx, "failed"))
	}
}

// Holds waits until the JavaScript expression is true.
func Holds(expression string) chromedp.Action {
	return chromedp.Poll("Boolean("+expression+")", nil, chromedp.WithPollingInterval(20*time.Millisecond), chromedp.WithPollingTimeout(0))
}

// TextIs waits until an element shows exactly text.
func TextIs(id, text string) chromedp.Action {
	return Holds(fmt.Sprintf("document.getElementById(%q)?.textContent === %q", id, text))
}

// TextHas waits until an element shows text among others.
func TextHas(id, text string) chromedp.Action {
	return Holds(fmt.Sprintf("document.getElementById(%q)?.textContent.includes(%q)", id, text))
}

// Screenshot writes a picture of the page and returns its path. It lies in the
// test's temporary directory, or in the one that EXAMPLES_SCREENSHOTS names.
func Screenshot(t *testing.T, ctx context.Context, name string) string {
	t.Helper()
	var png []byte
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := chromedp.Run(limited, chromedp.CaptureScreenshot(&png)); err != nil {
		return "no picture: " + err.Error()
	}
	dir := os.Getenv("EXAMPLES_SCREENSHOTS")
	if dir == "" {
		dir = t.TempDir()
	}
	path := filepath.Join(dir, name+".png")
	if err := os.WriteFile(path, png, 0o644); err != nil {
		return "no picture: " + err.Error()
	}
	return path
}
