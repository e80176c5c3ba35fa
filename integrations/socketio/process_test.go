package socketio_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zishang520/socket.io/servers/socket/v3"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends"
	"github.com/sessionkv/store/integrations/socketio"
	"github.com/sessionkv/store/internal/sioclient"
	"github.com/sessionkv/store/internal/testserver"
)

// processStore names the environment variable that makes the test binary a node,
// and holds the URL of its backend.
const processStore = "SOCKETIO_TEST_STORE"

// runProcess is the main function of a node in a process of its own. It stops
// with the context of its signal, which has ended by then.
func runProcess(store string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	return serveStore(ctx, store)
}

func serveStore(ctx context.Context, url string) error {
	backend, err := backends.Open(ctx, url)
	if err != nil {
		return err
	}
	defer backend.Close()
	sessions, err := store.New(backend, &store.Options{Lease: 30 * time.Second})
	if err != nil {
		return err
	}
	a := socketio.New(sessions, socketio.Options{Grace: time.Minute, Begin: greet})
	options := socket.DefaultServerOptions()
	options.SetConnectTimeout(2 * time.Second)
	options.SetPingInterval(3 * time.Second)
	options.SetPingTimeout(5 * time.Second)
	io := socket.NewServer(nil, options)
	if err := a.Bind(io.Sockets()); err != nil {
		return err
	}
	err = io.On("connection", func(args ...any) {
		if err := a.On(args[0].(*socket.Socket), "visit", countVisits); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	})
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: io.ServeHandler(nil)}
	defer server.Close()
	go server.Serve(listener)
	fmt.Printf("http://%s\n", listener.Addr())
	<-ctx.Done()
	if err := a.Stop(ctx); err != nil {
		// Expected: the context has ended. The sessions must be kept all the same.
		fmt.Fprintln(os.Stderr, err)
	}
	return nil
}

// startProcess starts a node in a process of its own and returns its URL.
func startProcess(t *testing.T, store string) (cmd *exec.Cmd, url string) {
	t.Helper()
	cmd = exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), processStore+"="+store)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the node did not start: %v", err)
	}
	return cmd, strings.TrimSpace(line)
}

// However a node ends, its client goes on with the session on another one, long
// before the lease of the dead node is over.
func TestNodeEnds(t *testing.T) {
	redis := testserver.Redis(t).URL
	for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			onTransports(t, func(t *testing.T, d *sioclient.Driver, transport string) {
				one, first := startProcess(t, redis)
				_, second := startProcess(t, redis)
				c := d.Connect(t, first, transport, as("ann"))
				id := c.Session()
				if got := c.Ask("visit"); got != 1.0 {
					t.Errorf("first visit = %v, want 1", got)
				}
				if err := one.Process.Signal(sig); err != nil {
					t.Fatal(err)
				}
				c.Next("disconnect")
				e := d.Connect(t, second, transport, again("ann", id))
				if got := e.Session(); got != id {
					t.Fatal("the other node began another session")
				}
				if got := e.Ask("visit"); got != 2.0 {
					t.Errorf("visit on the other node = %v, want 2", got)
				}
			})
		})
	}
}
