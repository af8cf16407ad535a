package runtime_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berthd/berth/runtime"
)

// reach tells whether a connection from inside a container comes about.
func reach(t testing.TB, addr string) bool {
	t.Helper()
	host, port, _ := net.SplitHostPort(addr)
	_, exit := output(t, runtime.Spec{}, fmt.Sprintf("timeout 2 bash -c 'exec 3<>/dev/tcp/%s/%s'", host, port))
	return exit.Code == 0
}

func TestNetwork_Isolation(t *testing.T) {
	open(t)
	link, err := net.InterfaceByName(shared.Config.Bridge)
	if err != nil {
		t.Fatal(err)
	}
	addrs, err := link.Addrs()
	if err != nil {
		t.Fatal(err)
	}
	gateway, _, _ := net.ParseCIDR(addrs[0].String())
	host, err := net.Listen("tcp4", net.JoinHostPort(gateway.String(), "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	if conn, err := net.Dial("tcp", host.Addr().String()); err != nil {
		t.Fatalf("the host's own listener is not there: %v", err)
	} else {
		conn.Close()
	}
	if reach(t, host.Addr().String()) {
		t.Error("a container reaches a port of the host")
	}

	other := create(t, runtime.Spec{})
	launch(t, other, sh(server, "ADDR=0.0.0.0", "PORT=8000"))
	addr := listening(t, other)
	if get(t, other, net.JoinHostPort(other.Address, "8000")) == "" || get(t, other, addr) == "" {
		t.Fatal("the other container does not answer")
	}
	if reach(t, net.JoinHostPort(other.Address, "8000")) {
		t.Error("a container reaches another")
	}
	if reach(t, "169.254.169.254:80") {
		t.Error("a container reaches the metadata address")
	}
	if out, exit := output(t, runtime.Spec{Isolated: true}, "cat /proc/net/dev | tail -n +3 | cut -d: -f1; ip -V 2>/dev/null; exit 0"); exit.Code != 0 || strings.Contains(out, "eth0") {
		t.Errorf("an isolated container has the interfaces %q", out)
	}
}

// The metadata test above would pass on a network that has no such address:
// here somebody answers there.
func TestNetwork_MetadataAddressIsRefused(t *testing.T) {
	open(t)
	ns := fmt.Sprintf("md%d", os.Getpid())
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
		}
	}
	run("netns", "add", ns)
	t.Cleanup(func() { exec.Command("ip", "netns", "del", ns).Run() })
	run("link", "add", ns, "type", "veth", "peer", "name", "eth0", "netns", ns)
	t.Cleanup(func() { exec.Command("ip", "link", "del", ns).Run() })
	run("addr", "add", "169.254.169.1/24", "dev", ns)
	run("link", "set", ns, "up")
	run("-n", ns, "addr", "add", "169.254.169.254/24", "dev", "eth0")
	run("-n", ns, "link", "set", "eth0", "up")
	run("-n", ns, "link", "set", "lo", "up")
	run("-n", ns, "route", "add", "default", "via", "169.254.169.1")
	srv := exec.Command("ip", "netns", "exec", ns, "bash", "-c", server)
	srv.Env = append(os.Environ(), "ADDR=0.0.0.0", "PORT=80")
	if err := srv.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { srv.Process.Kill(); srv.Wait() }()
	for range 200 {
		if conn, err := net.Dial("tcp", "169.254.169.254:80"); err == nil {
			conn.Close()
			if reach(t, "169.254.169.254:80") {
				t.Error("a container reaches the metadata service")
			}
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the metadata service of the test does not answer")
}

func TestListening_IsQuick(t *testing.T) {
	c := create(t, runtime.Spec{})
	launch(t, c, sh(server, "ADDR=127.0.0.1", "PORT=5000"))
	listening(t, c)
	began := time.Now()
	for range 100 {
		if list, err := c.Listening(); err != nil || len(list) != 1 {
			t.Fatalf("%v, %v", list, err)
		}
	}
	t.Logf("Listening takes %v", time.Since(began)/100)
	if took := time.Since(began) / 100; took > 2*time.Millisecond {
		t.Errorf("Listening takes %v", took)
	}
}

func TestListening_IPv6(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	c := create(t, runtime.Spec{LogFile: log})
	launch(t, c, sh(`exec perl -MIO::Socket::IP -e 'my $s = IO::Socket::IP->new(LocalHost => "::", LocalPort => 3000, Listen => 5, Family => AF_INET6) or die "$@"; while (my $c = $s->accept) { while (<$c>) { last if /^\r?$/ } print $c "HTTP/1.0 200 OK\r\n\r\nhi\n"; close $c }'`))
	addr := listening(t, c)
	if addr != "[::]:3000" {
		t.Errorf("listening on %s", addr)
	}
	if got := get(t, c, addr); got != "HTTP/1.0 200 OK" {
		t.Errorf("answer %q", got)
	}
}
