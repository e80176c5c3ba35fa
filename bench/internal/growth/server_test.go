package growth

import (
	"os"
	"testing"
	"time"

	"github.com/sessionkv/store/internal/testserver"
)

func TestMain(m *testing.M) { os.Exit(testserver.Main(m)) }

// Everything is measured, and nothing is left on the server.
func TestMeasureServer(t *testing.T) {
	server := testserver.Redis(t)
	g, err := MeasureServer(t.Context(), server.URL, 5000, 4*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if g.PlainBytes < 50 || g.Bytes <= g.PlainBytes || g.ClientBytes < 100 || g.CreatePerSecond <= 0 || g.PlainPerSecond <= 0 || g.ClosePerSecond <= 0 || g.RenewServer <= 0 {
		t.Errorf("MeasureServer() = %+v, want no figure to be zero, and more bytes than a plain hash takes", g)
	}
	if left, err := server.Do("DBSIZE"); err != nil || left != int64(0) {
		t.Errorf("DBSIZE = %v, %v afterwards, want 0", left, err)
	}
}
