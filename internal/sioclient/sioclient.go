// Package sioclient drives the real Socket.IO client library, in Node.js, from tests.
package sioclient

import (
	"bufio"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

// Patience bounds waiting for what must come.
const Patience = 30 * time.Second

//go:embed node
var program embed.FS

// A Driver is one Node.js process whose clients are many sockets.
type Driver struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when the process has ended

	mu      sync.Mutex
	in      io.WriteCloser        // guarded by mu
	clients map[string]chan event // guarded by mu
	count   int                   // guarded by mu
}

type event struct {
	ID    string
	Event string
	Args  []any
}

// dir installs the client library, once in each test process, until Cleanup.
var dir = sync.OnceValues(install)

// Dir returns the folder in which npm installed the client library. Without Node.js
// the test is skipped, and under CI it fails.
func Dir(t testing.TB) string {
	t.Helper()
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatalf("%s is not installed, and CI needs it", program)
			}
			t.Skipf("needs %s", program)
		}
	}
	d, err := dir()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

var cleanups struct {
	sync.Mutex
	list []func() // guarded by Mutex
}

func onCleanup(f func()) {
	cleanups.Lock()
	defer cleanups.Unlock()
	cleanups.list = append(cleanups.list, f)
}

// Cleanup ends the shared driver and removes the library. TestMain calls it.
func Cleanup() {
	cleanups.Lock()
	defer cleanups.Unlock()
	for _, f := range slices.Backward(cleanups.list) {
		f()
	}
	cleanups.list = nil
}

func install() (string, error) {
	dir, err := os.MkdirTemp("", "socketio-client-")
	if err != nil {
		return "", err
	}
	onCleanup(func() { os.RemoveAll(dir) })
	for _, name := range []string{"package.json", "client.js"} {
		data, err := program.ReadFile("node/" + name)
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return "", err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	npm := exec.CommandContext(ctx, "npm", "install", "--no-audit", "--no-fund", "--no-package-lock")
	npm.Dir = dir
	if out, err := npm.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm install: %w\n%s", err, out)
	}
	return dir, nil
}

func start(dir string) (*Driver, error) {
	node := exec.Command("node", "client.js")
	node.Dir = dir
	node.Stderr = os.Stderr
	in, err := node.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := node.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := node.Start(); err != nil {
		return nil, err
	}
	d := &Driver{cmd: node, ended: make(chan struct{}), in: in, clients: make(map[string]chan event)}
	go func() {
		defer close(d.ended)
		d.read(out)
		node.Wait()
	}()
	return d, nil
}

// stop lets the process end.
func (d *Driver) stop() {
	d.mu.Lock()
	d.in.Close()
	d.mu.Unlock()
	<-d.ended
}

var shared = sync.OnceValues(func() (*Driver, error) {
	dir, err := dir()
	if err != nil {
		return nil, err
	}
	d, err := start(dir)
	if err == nil {
		onCleanup(d.stop)
	}
	return d, err
})

// Shared returns the driver of all tests of this process. It skips as [Dir] does.
func Shared(t testing.TB) *Driver {
	t.Helper()
	Dir(t)
	d, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Start returns a driver for this test alone, which may kill it. It skips as [Dir] does.
func Start(t testing.TB) *Driver {
	t.Helper()
	d, err := start(Dir(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.stop)
	return d
}

// Kill ends the process, and all connections of its clients, without a word.
func (d *Driver) Kill(t testing.TB) {
	t.Helper()
	if err := d.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-d.ended
}

func (d *Driver) read(out io.Reader) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			continue
		}
		d.mu.Lock()
		c := d.clients[e.ID]
		d.mu.Unlock()
		if c != nil {
			c <- e
		}
	}
}

func (d *Driver) send(command map[string]any) error {
	line, err := json.Marshal(command)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	_, err = d.in.Write(append(line, '\n'))
	return err
}

// A Client is one socket of a driver.
type Client struct {
	t      testing.TB
	d      *Driver
	id     string
	events chan event
	seen   []event
}

// Connect begins to connect to the namespace at url with auth, over the transport.
func (d *Driver) Connect(t testing.TB, url, transport string, auth map[string]any) *Client {
	t.Helper()
	if auth == nil {
		auth = map[string]any{}
	}
	d.mu.Lock()
	d.count++
	c := &Client{t: t, d: d, id: fmt.Sprint("c", d.count), events: make(chan event, 1000)}
	d.clients[c.id] = c.events
	d.mu.Unlock()
	c.Do("connect", map[string]any{"url": url, "auth": auth, "options": map[string]any{"transports": []string{transport}}})
	t.Cleanup(func() { d.send(map[string]any{"do": "leave", "id": c.id}) })
	return c
}

// Do gives the driver a command for this client.
func (c *Client) Do(what string, more map[string]any) {
	c.t.Helper()
	command := map[string]any{"do": what, "id": c.id}
	maps.Copy(command, more)
	if err := c.d.send(command); err != nil {
		c.t.Fatalf("%s: %v", what, err)
	}
}

var errNoEvent = errors.New("no such event in time")

// Next returns the arguments of the next event of that name. Events before it are
// left for others.
func (c *Client) Next(name string) []any {
	c.t.Helper()
	for i, e := range c.seen {
		if e.Event == name {
			c.seen = append(c.seen[:i], c.seen[i+1:]...)
			return e.Args
		}
	}
	timeout := time.After(Patience)
	for {
		select {
		case e := <-c.events:
			if e.Event == name {
				return e.Args
			}
			c.seen = append(c.seen, e)
		case <-timeout:
			c.t.Fatalf("event %q: %v; seen: %+v", name, errNoEvent, c.seen)
		}
	}
}

// Ask sends an event and returns the acknowledgement.
func (c *Client) Ask(event string, args ...any) any {
	c.t.Helper()
	c.Do("ask", map[string]any{"event": event, "args": args})
	answer := c.Next("answer")
	if len(answer) != 3 || answer[0] != event || answer[1] != nil {
		c.t.Fatalf("answer to %q = %v, want one", event, answer)
	}
	return answer[2]
}

// Session returns the ID that the server announced. What the client met before it
// was connected, such as a lost first packet, is forgotten.
func (c *Client) Session() string {
	c.t.Helper()
	id, _ := c.Next("session")[0].(string)
	c.seen = slices.DeleteFunc(c.seen, func(e event) bool { return e.Event == "disconnect" })
	return id
}
