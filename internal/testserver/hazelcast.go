package testserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const defaultHeartbeat = 10 * time.Second

// HazelcastOption changes how the members of a Hazelcast cluster are configured.
type HazelcastOption func(*hazelcastSettings)

type hazelcastSettings struct {
	maps      []mapConfig
	jvmFlags  []string
	heartbeat time.Duration
	bare      map[int]bool // members without configured maps
	clocks    map[int]time.Duration
}

type mapConfig struct {
	Pattern      string
	TTL, MaxIdle int // seconds, 0 for none
	Backups      int
}

// WithMap configures the maps whose name matches pattern, in which * matches anything. It sets the default time
// to live and idle time of their entries, in whole seconds, 0 for none. Maps that match no pattern have neither.
// All maps have one synchronous backup.
func WithMap(pattern string, ttl, maxIdle time.Duration) HazelcastOption {
	return func(s *hazelcastSettings) {
		s.maps = append(s.maps, mapConfig{pattern, wholeSeconds(ttl), wholeSeconds(maxIdle), 1})
	}
}

// WithHeartbeat sets how long a silent member is waited for before the others drop it, in whole seconds; 10 s
// without it. It matters for paused members: a killed one is noticed at once.
func WithHeartbeat(limit time.Duration) HazelcastOption {
	return func(s *hazelcastSettings) { s.heartbeat = limit }
}

// WithJVMFlags adds flags to the command line of every member, such as "-Xmx1g".
func WithJVMFlags(flags ...string) HazelcastOption {
	return func(s *hazelcastSettings) { s.jvmFlags = append(s.jvmFlags, flags...) }
}

// WithoutMaps leaves what [WithMap] says out of the configuration of one member.
func WithoutMaps(member int) HazelcastOption {
	return func(s *hazelcastSettings) {
		if s.bare == nil {
			s.bare = make(map[int]bool)
		}
		s.bare[member] = true
	}
}

// WithClock sets the clock of one member ahead of the system's, or back: see [HazelcastCluster.SetClock].
func WithClock(member int, ahead time.Duration) HazelcastOption {
	return func(s *hazelcastSettings) {
		if s.clocks == nil {
			s.clocks = make(map[int]time.Duration)
		}
		s.clocks[member] = ahead
	}
}

// clockFlag is the JVM flag by which a member adds to the time of the system whenever it asks for it.
const clockFlag = "-Dcom.hazelcast.clock.offset="

// wholeSeconds rounds up, so that a short time does not turn into none.
func wholeSeconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

// HazelcastCluster is a cluster of Hazelcast members, one process each. Its methods may be called from several
// goroutines; those that return no error fail the test instead, and so belong in the test's own goroutine.
type HazelcastCluster struct {
	Addrs       []string // host:port of each member, also of those that are down
	ClusterName string
	External    bool // started by somebody else: it holds foreign data, and cannot be killed or paused

	t       testing.TB
	shared  bool
	members []*process
}

// Hazelcast starts a cluster of n members and returns when all have joined. Without options it may be a running
// cluster that the environment names, with whatever number of members and data it has.
func Hazelcast(t testing.TB, n int, opts ...HazelcastOption) *HazelcastCluster {
	t.Helper()
	if len(opts) == 0 {
		if c := externalHazelcast(t); c != nil {
			return c
		}
	}
	c, release, err := startHazelcast(t.TempDir(), n, opts)
	if err != nil {
		giveUp(t, err)
	}
	c.t = t
	t.Cleanup(func() {
		c.killAll()
		release()
		logOnFailure(t, c.members...)
	})
	return c
}

func externalHazelcast(t testing.TB) *HazelcastCluster {
	list := os.Getenv("STORE_TEST_HAZELCAST_ADDRS")
	if list == "" {
		return nil
	}
	addrs := strings.Split(list, ",")
	for i := range addrs {
		addrs[i] = strings.TrimSpace(addrs[i])
	}
	return &HazelcastCluster{Addrs: addrs, ClusterName: clusterNameFromEnv(), External: true, t: t}
}

func startHazelcast(dir string, n int, opts []HazelcastOption) (*HazelcastCluster, func(), error) {
	s := hazelcastSettings{heartbeat: defaultHeartbeat}
	for _, opt := range opts {
		opt(&s)
	}
	java, jar, err := hazelcastPrograms()
	if err != nil {
		return nil, nil, err
	}
	var c *HazelcastCluster
	release, err := withPorts(n, func(ports []int) error {
		c = &HazelcastCluster{ClusterName: fmt.Sprintf("test-%d-%d", os.Getpid(), generation.Add(1))}
		for _, port := range ports {
			c.Addrs = append(c.Addrs, loopback(port))
		}
		for i, port := range ports {
			own := s
			if s.bare[i] {
				own.maps = nil
			}
			p, err := newMember(dir, java, jar, port, c, own)
			if err != nil {
				return err
			}
			p.name = fmt.Sprintf("Hazelcast member %d on port %d", i, port)
			p.args = setClock(p.args, s.clocks[i])
			c.members = append(c.members, p)
		}
		if err := c.startAll(); err != nil {
			c.killAll()
			return err
		}
		return nil
	})
	return c, release, err
}

// hazelcastPrograms finds Java, in JAVA_HOME or on PATH, and the member's jar.
func hazelcastPrograms() (java, jar string, err error) {
	if home := os.Getenv("JAVA_HOME"); home != "" {
		java, _ = exec.LookPath(filepath.Join(home, "bin", "java"))
	}
	if java == "" {
		if java, err = exec.LookPath("java"); err != nil {
			return "", "", &missingError{"java", "install Java 17 or later, which Hazelcast needs"}
		}
	}
	cache, err := CacheDir()
	if err != nil {
		return "", "", err
	}
	jar = filepath.Join(cache, HazelcastJar)
	if _, err := os.Stat(jar); err != nil {
		return "", "", &missingError{HazelcastJar, "run scripts/install-servers.sh"}
	}
	return java, jar, nil
}

func newMember(dir, java, jar string, port int, c *HazelcastCluster, s hazelcastSettings) (*process, error) {
	dir, err := os.MkdirTemp(dir, "member-")
	if err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "hazelcast.xml")
	f, err := os.Create(config)
	if err != nil {
		return nil, err
	}
	err = memberConfig.Execute(f, memberValues{
		Cluster: c.ClusterName, Port: port, Members: c.Addrs, Maps: s.maps, Heartbeat: wholeSeconds(s.heartbeat),
	})
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	args := append(memberFlags(), s.jvmFlags...)
	args = append(args, "-Dhazelcast.config="+config, "-cp", jar, "com.hazelcast.core.server.HazelcastMemberStarter")
	return &process{path: java, args: args, dir: dir, logPath: filepath.Join(dir, "log")}, nil
}

// startAll starts the first member alone, so that the others find a cluster to join instead of each founding one.
func (c *HazelcastCluster) startAll() error {
	for i, p := range c.members {
		if err := p.start(); err != nil {
			return err
		}
		if i == 0 {
			if err := c.awaitMember(i, 1); err != nil {
				return err
			}
		}
	}
	return c.awaitSize(len(c.members))
}

// awaitSize waits until every active member sees a cluster of n members that has put all its data in place.
func (c *HazelcastCluster) awaitSize(n int) error {
	for i, p := range c.members {
		if p.active() {
			if err := c.awaitMember(i, n); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *HazelcastCluster) awaitMember(i, n int) error {
	return c.members[i].await(func() error {
		h, err := memberHealth(c.Addrs[i])
		if err != nil {
			return err
		}
		if h.NodeState != "ACTIVE" || !h.ClusterSafe || h.MigrationQueueSize != 0 || h.ClusterSize != n {
			return fmt.Errorf("%s is not ready for a cluster of %d: %+v", c.members[i].name, n, h)
		}
		return nil
	})
}

// health is a member's answer to its health check.
type health struct {
	NodeState          string
	ClusterSafe        bool
	MigrationQueueSize int
	ClusterSize        int
}

var healthClient = sync.OnceValue(func() *http.Client {
	return &http.Client{Timeout: callTimeout, Transport: &http.Transport{DisableKeepAlives: true}}
})

func memberHealth(addr string) (h health, err error) {
	resp, err := healthClient().Get("http://" + addr + "/hazelcast/health")
	if err != nil {
		return h, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return h, errors.New(resp.Status)
	}
	return h, json.NewDecoder(resp.Body).Decode(&h)
}

func (c *HazelcastCluster) killAll() {
	for _, p := range c.members {
		p.kill()
	}
}

// active counts the members that run and are not paused.
func (c *HazelcastCluster) active() int {
	n := 0
	for _, p := range c.members {
		if p.active() {
			n++
		}
	}
	return n
}

// PID returns the process ID of member i, 0 while it is down or if it is external.
func (c *HazelcastCluster) PID(i int) int {
	if c.External {
		return 0
	}
	return c.members[i].pid()
}

// Kill ends member i at once (SIGKILL) and returns when it is gone, which is before the others have noticed:
// [HazelcastCluster.AwaitSafe] waits for that.
func (c *HazelcastCluster) Kill(i int) {
	c.t.Helper()
	c.disturb("kill")
	c.members[i].kill()
}

// Stop lets member i leave in good order (SIGTERM), which hands its data over, and returns when it is gone.
func (c *HazelcastCluster) Stop(i int) {
	c.t.Helper()
	c.disturb("stop")
	c.members[i].stop()
}

// Restart kills member i if it runs, and starts it on the same port. It returns when it has joined and the data
// are spread over all members again.
func (c *HazelcastCluster) Restart(i int) {
	c.t.Helper()
	c.disturb("restart")
	c.members[i].kill()
	if err := c.awaitSize(c.active()); err != nil {
		c.t.Fatal(err)
	}
	if err := c.members[i].start(); err != nil {
		c.t.Fatal(err)
	}
	c.AwaitSafe()
}

// SetClock sets the clock of member i ahead of the system's, or back, from its next start on. All that Hazelcast does by
// the time goes by that clock, such as the expiry of entries.
func (c *HazelcastCluster) SetClock(i int, ahead time.Duration) {
	c.t.Helper()
	c.disturb("set the clock of")
	c.members[i].args = setClock(c.members[i].args, ahead)
}

func setClock(args []string, ahead time.Duration) []string {
	args = slices.DeleteFunc(slices.Clone(args), func(arg string) bool { return strings.HasPrefix(arg, clockFlag) })
	return slices.Insert(args, 0, clockFlag+strconv.FormatInt(ahead.Milliseconds(), 10))
}

// AwaitSafe waits until all members that run and are not paused see each other and no others, and every entry has
// its backup again. With a paused member that takes as long as [WithHeartbeat] says.
func (c *HazelcastCluster) AwaitSafe() {
	c.t.Helper()
	c.disturb("wait for")
	if err := c.awaitSize(c.active()); err != nil {
		c.t.Fatal(err)
	}
}

// Pause freezes member i (SIGSTOP): it accepts connections, but does not answer. Where the system cannot do that,
// the test skips.
func (c *HazelcastCluster) Pause(i int) {
	c.t.Helper()
	c.disturb("pause")
	must(c.t, c.members[i].pause())
}

// Resume lets paused member i go on.
func (c *HazelcastCluster) Resume(i int) {
	c.t.Helper()
	c.disturb("resume")
	must(c.t, c.members[i].resume())
}

// disturb ends the test if the cluster is not the test's own.
func (c *HazelcastCluster) disturb(doing string) {
	c.t.Helper()
	if c.External {
		skipExternal(c.t, doing, "STORE_TEST_HAZELCAST_ADDRS")
	}
	if c.shared {
		c.t.Fatalf("cannot %s the cluster that all tests share: use testserver.Hazelcast", doing)
	}
}

func memberFlags() []string {
	return []string{
		"-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-Djava.net.preferIPv4Stack=true",
		"--add-modules", "java.se",
		"--add-exports", "java.base/jdk.internal.ref=ALL-UNNAMED",
		"--add-opens", "java.base/java.lang=ALL-UNNAMED",
		"--add-opens", "java.base/sun.nio.ch=ALL-UNNAMED",
		"--add-opens", "java.management/sun.management=ALL-UNNAMED",
		"--add-opens", "jdk.management/com.sun.management.internal=ALL-UNNAMED",
	}
}

// memberValues fill memberConfig.
type memberValues struct {
	Cluster   string
	Port      int
	Members   []string
	Maps      []mapConfig
	Heartbeat int // seconds
}
