package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/berthd/berth/router"
	"github.com/berthd/berth/router/accesslog"
	"github.com/berthd/berth/router/certificates"
)

// measureRouter compares berth's router with other reverse proxies: one after
// the other before the same two backends, under the load of wrk. Those that are
// not on the PATH are left out by name.
func measureRouter(ctx context.Context, took time.Duration) (err error) {
	dir, err := os.MkdirTemp("", "berth-measure-router-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	r := &race{dir: dir, took: took}
	if err := r.prepare(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.backends.end()) }()

	fmt.Printf("| reverse proxy | door | connections | requests/s | p50 | p99 | CPU s per 100,000 requests | memory (PSS) |\n|---|---|---|---|---|---|---|---|\n")
	for _, secure := range []bool{false, true} {
		for _, connections := range []int{32, 256} {
			for _, p := range proxies {
				if _, err := exec.LookPath(p.program); err != nil {
					fmt.Printf("| %s | not on the PATH |\n", p.name)
					continue
				}
				if err := r.run(ctx, p, secure, connections); err != nil {
					return fmt.Errorf("%s, TLS %v, %d connections: %w", p.name, secure, connections, err)
				}
			}
		}
	}
	fmt.Println()
	return nil
}

// race is where the proxies run one after the other.
type race struct {
	dir      string
	took     time.Duration // of the load on each
	backends *runner
	ports    [2]int // of the backends
	port     int    // of the proxy under load
}

// proxy is one that takes part: config writes what it needs into the race's
// directory and returns its arguments.
type proxy struct {
	name, program string
	config        func(r *race, secure bool) ([]string, error)
}

var proxies = []proxy{
	{"berth", "/proc/self/exe", berthConfig},
	{"nginx, upstream connections kept", "nginx", func(r *race, secure bool) ([]string, error) { return r.nginx(tunedNginx, secure) }},
	{"nginx as Dokku configures it", "nginx", func(r *race, secure bool) ([]string, error) { return r.nginx(dokkuNginx, secure) }},
	{"HAProxy", "haproxy", haproxyConfig},
	{"Caddy", "caddy", caddyConfig},
	{"kamal-proxy", "kamal-proxy", nil},
}

// prepare starts the backends and makes a certificate for all.
func (r *race) prepare(ctx context.Context) (err error) {
	if r.port, err = freePort(); err != nil {
		return err
	}
	if err := r.certify(); err != nil {
		return err
	}
	for i := range r.ports {
		if r.ports[i], err = freePort(); err != nil {
			return err
		}
	}
	args, err := r.write("backends.conf", fmt.Sprintf(`daemon off; worker_processes 1; pid %[1]s/backends.pid; error_log %[1]s/backends.log;
events { worker_connections 4096; }
http { access_log off; keepalive_requests 100000000; keepalive_timeout 60s; default_type text/plain;
server { listen 127.0.0.1:%[2]d backlog=4096; return 200 "Hello world!"; }
server { listen 127.0.0.1:%[3]d backlog=4096; return 200 "Hello world!"; } }
`, r.dir, r.ports[0], r.ports[1]), "-c")
	if err != nil {
		return err
	}
	if r.backends, err = r.start("nginx", args); err != nil {
		return err
	}
	for _, port := range r.ports {
		if err := awaitAnswer(ctx, fmt.Sprintf("http://127.0.0.1:%d/", port)); err != nil {
			return errors.Join(err, r.backends.end())
		}
	}
	return nil
}

// run puts one proxy under load and prints its row.
func (r *race) run(ctx context.Context, p proxy, secure bool, connections int) (err error) {
	url, door := fmt.Sprintf("http://127.0.0.1:%d/", r.port), "plain"
	if secure {
		url, door = fmt.Sprintf("https://127.0.0.1:%d/", r.port), "TLS"
	}
	start := r.kamal
	if p.config != nil {
		start = func(context.Context, bool) (*runner, error) {
			args, err := p.config(r, secure)
			if err != nil {
				return nil, err
			}
			return r.start(p.program, args)
		}
	}
	proxy, err := start(ctx, secure)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, proxy.end()) }()
	if err := awaitAnswer(ctx, url); err != nil {
		return err
	}
	const warm = 3 * time.Second
	if _, err := wrk(ctx, url, connections, warm); err != nil {
		return err
	}
	before, err := proxy.cpu()
	if err != nil {
		return err
	}
	got, err := wrk(ctx, url, connections, r.took)
	if err != nil {
		return err
	}
	after, err := proxy.cpu()
	if err != nil {
		return err
	}
	memory, err := proxy.memory()
	if err != nil {
		return err
	}
	per := (after - before).Seconds() / float64(got.requests) * 100_000
	fmt.Printf("| %s | %s | %d | %.0f | %s | %s | %.2f | %.0f MB |%s\n", p.name, door, connections,
		float64(got.requests)/r.took.Seconds(), got.p50, got.p99, per, float64(memory)/(1<<20), got.complaint)
	return nil
}

type load struct {
	requests  int
	p50, p99  string
	complaint string // of wrk, about requests that failed
}

// wrk drives keep-alive connections for a time.
func wrk(ctx context.Context, url string, connections int, took time.Duration) (load, error) {
	out, err := exec.CommandContext(ctx, "wrk", "-t2", "-c", strconv.Itoa(connections), "-d", took.String(), "--latency", url).CombinedOutput()
	if err != nil {
		return load{}, fmt.Errorf("wrk: %w: %s", err, out)
	}
	var l load
	for line := range strings.Lines(string(out)) {
		switch words := strings.Fields(line); {
		case len(words) == 2 && words[0] == "50%":
			l.p50 = words[1]
		case len(words) == 2 && words[0] == "99%":
			l.p99 = words[1]
		case len(words) > 2 && words[1] == "requests" && words[2] == "in":
			l.requests, err = strconv.Atoi(words[0])
		case strings.Contains(line, "errors") || strings.Contains(line, "Non-2xx"):
			l.complaint += " " + strings.TrimSpace(line)
		}
	}
	if err != nil || l.requests == 0 {
		return load{}, fmt.Errorf("wrk made no requests: %s", out)
	}
	return l, nil
}

// runner is a program in the foreground, with the processes it has started.
type runner struct {
	cmd *exec.Cmd
	log *os.File
}

func (r *race) start(program string, args []string) (*runner, error) {
	log, err := os.Create(filepath.Join(r.dir, filepath.Base(program)+".out"))
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), "XDG_DATA_HOME="+r.dir, "XDG_CONFIG_HOME="+r.dir, "HOME="+r.dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	return &runner{cmd, log}, nil
}

// end asks the program to leave, and makes it when it does not.
func (p *runner) end() error {
	p.cmd.Process.Signal(syscall.SIGTERM)
	late := time.AfterFunc(5*time.Second, func() { p.cmd.Process.Kill() })
	defer late.Stop()
	p.cmd.Wait() // how it ends says nothing about the figures
	return p.log.Close()
}

// tree returns the program's process and all below it.
func (p *runner) tree() (pids []int, err error) {
	all, err := readProcesses()
	if err != nil {
		return nil, err
	}
	in := map[int]bool{p.cmd.Process.Pid: true}
	for grown := true; grown; {
		grown = false
		for _, o := range all {
			if !in[o.pid] && in[o.parent] {
				in[o.pid], grown = true, true
			}
		}
	}
	for pid := range in {
		pids = append(pids, pid)
	}
	return pids, nil
}

// cpu returns the processor time of the program and its children until now.
func (p *runner) cpu() (sum time.Duration, err error) {
	pids, err := p.tree()
	if err != nil {
		return 0, err
	}
	const tick = time.Second / 100 // USER_HZ, the same on every Linux that Go runs on
	for _, pid := range pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, err
		}
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		for _, field := range fields[11:13] { // utime and stime
			n, _ := strconv.Atoi(field)
			sum += time.Duration(n) * tick
		}
	}
	return sum, nil
}

func (p *runner) memory() (sum int64, err error) {
	pids, err := p.tree()
	for _, pid := range pids {
		sum += field(fmt.Sprintf("/proc/%d/smaps_rollup", pid), "Pss:")
	}
	return sum, err
}

func awaitAnswer(ctx context.Context, url string) error {
	c := &http.Client{Timeout: time.Second, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
		if err != nil {
			return err
		}
		res, err := c.Do(req)
		if err == nil {
			body, _ := io.ReadAll(res.Body)
			res.Body.Close()
			if res.StatusCode == 200 && string(body) == "Hello world!" {
				return nil
			}
			err = fmt.Errorf("status %d", res.StatusCode)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer: %w", url, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// certify writes a self-signed certificate of the kind that berth's own CA
// issues, for the others.
func (r *race) certify() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	for name, text := range map[string][]byte{"cert.pem": cert, "key.pem": keyPEM, "both.pem": append(cert, keyPEM...)} {
		if err := os.WriteFile(filepath.Join(r.dir, name), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// write writes a configuration and returns the option that names it.
func (r *race) write(name, text, option string) ([]string, error) {
	file := filepath.Join(r.dir, name)
	return []string{option, file}, os.WriteFile(file, []byte(text), 0o600)
}

// berthConfig has this program serve by berth's router alone.
func berthConfig(r *race, secure bool) ([]string, error) {
	return []string{"-serve", strconv.FormatBool(secure), "-port", strconv.Itoa(r.port),
		"-backends", fmt.Sprintf("127.0.0.1:%d,127.0.0.1:%d", r.ports[0], r.ports[1]), "-cache", r.dir}, nil
}

// serveRouter is that program.
func serveRouter(ctx context.Context, secure bool, port int, backends, dir string) error {
	rt := router.Route{Name: "bench", Hosts: []string{"127.0.0.1"}}
	for addr := range strings.SplitSeq(backends, ",") {
		rt.Backends = append(rt.Backends, router.Backend{ID: addr, Dial: func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", addr)
		}})
	}
	certs, err := certificates.New(ctx, certificates.Config{
		Storage: &certmagic.FileStorage{Path: filepath.Join(dir, "berth")}, Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")},
	}, discard)
	if err != nil {
		return err
	}
	defer certs.Close()
	access := accesslog.New(filepath.Join(dir, "logs"), discard) // as the appliance has it
	access.Keep(rt.Name)
	ctx, stop := context.WithCancel(ctx)
	written := make(chan error, 1)
	go func() { written <- access.Run(ctx) }()
	defer func() { stop(); <-written }()
	own := router.New(router.Config{Certificates: certs, AccessLog: access.Add}, discard)
	if _, err := own.Swap(rt); err != nil {
		return err
	}
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	if secure {
		return own.Serve(ctx, router.Listeners{Secure: []net.Listener{l}})
	}
	return own.Serve(ctx, router.Listeners{Plain: []net.Listener{l}})
}

// nginx fills a server's configuration in: %[1]s is the directory, %[2]s what
// stands behind the port, %[3]d and %[4]d the backends.
func (r *race) nginx(config string, secure bool) ([]string, error) {
	listen := fmt.Sprintf("%d backlog=4096", r.port)
	if secure {
		listen = fmt.Sprintf("%d ssl backlog=4096; ssl_certificate %[2]s/cert.pem; ssl_certificate_key %[2]s/key.pem; ssl_protocols TLSv1.2 TLSv1.3", r.port, r.dir)
	}
	return r.write("nginx.conf", fmt.Sprintf(config, r.dir, listen, r.ports[0], r.ports[1]), "-c")
}

const tunedNginx = `daemon off; worker_processes auto; pid %[1]s/nginx.pid; error_log %[1]s/nginx.log;
events { worker_connections 4096; }
http {
	access_log off; keepalive_requests 100000000;
	upstream app { server 127.0.0.1:%[3]d; server 127.0.0.1:%[4]d; keepalive 256; keepalive_requests 100000000; }
	server {
		listen 127.0.0.1:%[2]s;
		location / {
			proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection "";
			proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $remote_addr;
			proxy_set_header X-Forwarded-Port $server_port; proxy_set_header X-Forwarded-Proto $scheme;
			proxy_set_header X-Request-Start "t=$msec"; proxy_set_header X-Request-Id $request_id;
		}
	}
}
`

// dokkuNginx is what Dokku's template says for an app of two instances, on top
// of Debian's nginx.conf. Its upstream connections are not kept.
const dokkuNginx = `daemon off; worker_processes auto; pid %[1]s/nginx.pid; error_log %[1]s/nginx.log;
events { worker_connections 4096; }
http {
	sendfile on; tcp_nopush on; access_log %[1]s/access.log; server_names_hash_bucket_size 512;
	upstream app { server 127.0.0.1:%[3]d; server 127.0.0.1:%[4]d; }
	server {
		listen 127.0.0.1:%[2]s;
		location / {
			gzip on; gzip_min_length 1100; gzip_buffers 4 32k; gzip_vary on; gzip_comp_level 6;
			gzip_types text/css text/javascript text/xml text/plain application/javascript application/json;
			proxy_pass http://app; proxy_http_version 1.1; proxy_connect_timeout 60s; proxy_read_timeout 60s; proxy_send_timeout 60s;
			proxy_buffer_size 4k; proxy_buffering on; proxy_buffers 8 4k; proxy_busy_buffers_size 8k;
			proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $http_connection;
			proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $remote_addr;
			proxy_set_header X-Forwarded-Port $server_port; proxy_set_header X-Forwarded-Proto $scheme;
			proxy_set_header X-Request-Start $msec;
		}
	}
}
`

func haproxyConfig(r *race, secure bool) ([]string, error) {
	bind := fmt.Sprintf("127.0.0.1:%d", r.port)
	if secure {
		bind += fmt.Sprintf(" ssl crt %s/both.pem alpn http/1.1", r.dir)
	}
	return r.write("haproxy.cfg", fmt.Sprintf(`global
	maxconn 4096
defaults
	mode http
	timeout connect 5s
	timeout client 60s
	timeout server 60s
	option forwardfor
	http-reuse always
frontend bench
	bind %s
	http-request set-header X-Forwarded-Proto %%[ssl_fc,iif(https,http)]
	http-request set-header X-Forwarded-Port %d
	default_backend app
backend app
	balance roundrobin
	server one 127.0.0.1:%d
	server two 127.0.0.1:%d
`, bind, r.port, r.ports[0], r.ports[1]), "-f")
}

func caddyConfig(r *race, secure bool) ([]string, error) {
	site, cert := fmt.Sprintf("http://127.0.0.1:%d", r.port), ""
	if secure {
		site, cert = fmt.Sprintf("https://127.0.0.1:%d", r.port), fmt.Sprintf("tls %[1]s/cert.pem %[1]s/key.pem", r.dir)
	}
	args, err := r.write("Caddyfile", fmt.Sprintf(`{
	admin off
	auto_https off
}
%s {
	%s
	reverse_proxy 127.0.0.1:%d 127.0.0.1:%d {
		lb_policy round_robin
	}
}
`, site, cert, r.ports[0], r.ports[1]), "--config")
	return append([]string{"run", "--adapter", "caddyfile"}, args...), err
}

// kamal starts kamal-proxy, which is told of its backends when it runs.
func (r *race) kamal(ctx context.Context, secure bool) (*runner, error) {
	other, err := freePort()
	if err != nil {
		return nil, err
	}
	plain, tls := r.port, other
	deploy := []string{"deploy", "bench", "--target", fmt.Sprintf("127.0.0.1:%d", r.ports[0]), "--target", fmt.Sprintf("127.0.0.1:%d", r.ports[1])}
	if secure {
		plain, tls = other, r.port
		deploy = append(deploy, "--host", "127.0.0.1", "--tls", "--tls-certificate-path", r.dir+"/cert.pem", "--tls-private-key-path", r.dir+"/key.pem")
	}
	p, err := r.start("kamal-proxy", []string{"run", "--http-port", strconv.Itoa(plain), "--https-port", strconv.Itoa(tls)})
	if err != nil {
		return nil, err
	}
	var out []byte
	for range 100 {
		cmd := exec.CommandContext(ctx, "kamal-proxy", deploy...)
		cmd.Env = append(os.Environ(), "XDG_DATA_HOME="+r.dir, "XDG_CONFIG_HOME="+r.dir, "HOME="+r.dir)
		if out, err = cmd.CombinedOutput(); err == nil {
			return p, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return nil, errors.Join(fmt.Errorf("kamal-proxy deploy: %w: %s", err, out), p.end())
}
