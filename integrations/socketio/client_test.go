package socketio_test

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/sessionkv/store/internal/sioclient"
	"github.com/sessionkv/store/internal/testserver"
)

// patience bounds waiting for what must come.
const patience = sioclient.Patience

func TestMain(m *testing.M) {
	if store := os.Getenv(processStore); store != "" {
		if err := runProcess(store); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	flag.Parse()
	code := m.Run()
	sioclient.Cleanup()
	testserver.StopShared()
	os.Exit(code)
}
