package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// The programs that scripts run besides berth itself. Each is a process of its
// own, outside berth.

// eventually [-for 60s] [-match RE] PROGRAM ARGS… runs the program until it
// succeeds and its output matches, and prints the last output.
func eventually() {
	limit := flag.Duration("for", 60*time.Second, "how long to try")
	match := flag.String("match", "", "what the output must match")
	flag.Parse()
	want := regexp.MustCompile("(?m)" + *match)

	deadline := time.Now().Add(*limit)
	for {
		cmd := exec.Command(flag.Arg(0), flag.Args()[1:]...)
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		err := cmd.Run()
		ok := err == nil && want.Match(stdout.Bytes())
		if ok || time.Now().After(deadline) {
			os.Stdout.Write(stdout.Bytes())
			os.Stderr.Write(stderr.Bytes())
			if !ok {
				fmt.Fprintf(os.Stderr, "not within %v: %v\n", *limit, err)
				os.Exit(1)
			}
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// exits CODE PROGRAM ARGS… succeeds when the program exits with the code.
func exits() {
	want, err := strconv.Atoi(os.Args[1])
	if err != nil {
		fatal(err)
	}
	cmd := exec.Command(os.Args[2], os.Args[3:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		if _, ok := errors.AsType[*exec.ExitError](err); !ok {
			fatal(err)
		}
	}
	if got := cmd.ProcessState.ExitCode(); got != want {
		fatal(fmt.Errorf("exit code %d, want %d", got, want))
	}
}

// https HOST PATH [CURL ARGS…] asks the appliance with curl, trusting its own
// CA alone. It fails at 400 and above and prints the status to stderr. A host that
// the root was fetched too early for has it fetched anew.
func https() {
	host, path, port := os.Args[1], os.Args[2], os.Getenv("HTTPS_PORT")
	args := []string{
		"--silent", "--show-error", "--fail-with-body", "--max-time", "30", "--noproxy", "*",
		"--cacert", os.Getenv("ROOTS"),
		"--resolve", host + ":" + port + ":127.0.0.1",
		"--write-out", `%{stderr}HTTP %{http_code}\n`,
	}
	args = append(append(args, os.Args[3:]...), "https://"+host+":"+port+path)
	for again := false; ; again = true {
		var stderr bytes.Buffer
		cmd := exec.Command("curl", args...)
		cmd.Stdout, cmd.Stderr = os.Stdout, &stderr
		err := cmd.Run()
		const untrusted = 60 // of curl's exit codes
		if err != nil && cmd.ProcessState.ExitCode() == untrusted && !again && newRoots() {
			continue
		}
		os.Stderr.Write(stderr.Bytes())
		if err != nil {
			os.Exit(max(1, cmd.ProcessState.ExitCode()))
		}
		return
	}
}

// newRoots fetches the root of the appliance's own CA, as who has added a host
// does. It tells whether it is another one than before.
func newRoots() bool {
	before, err := os.ReadFile(os.Getenv("ROOTS"))
	if err != nil {
		return false
	}
	now, err := exec.Command("berth", "certs:root").Output()
	if err != nil || bytes.Equal(before, now) {
		return false
	}
	if err := os.WriteFile(os.Getenv("ROOTS"), now, 0o600); err != nil {
		fatal(err)
	}
	return true
}

// loadgen [-rate N] [-post] [-refused] HOST PATH sends requests at a steady rate
// until it is interrupted, then prints how many failed and how; any failure
// fails it. Half of its clients keep their connection, half open a new one each
// time; of either half one speaks HTTP/2. With -post it sends what net/http does
// not send again unless the server cannot have read it: a request that meets a
// connection which the server closes fails. With -refused only connections that are refused count.
func loadgen() {
	rate := flag.Int("rate", 40, "requests per second")
	post := flag.Bool("post", false, "send POST requests")
	refused := flag.Bool("refused", false, "count refused connections alone")
	flag.Parse()
	url := "https://" + flag.Arg(0) + ":" + os.Getenv("HTTPS_PORT") + flag.Arg(1)

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	const clients = 4
	var (
		wg     sync.WaitGroup
		mu     sync.Mutex // guards what follows
		count  int
		failed []string
		worst  time.Duration
	)
	for n := range clients {
		client := newLoadClient(n%2 == 0, n >= clients/2)
		wg.Go(func() {
			tick := time.NewTicker(clients * time.Second / time.Duration(*rate))
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
				start := time.Now()
				err := request(client, url, *post)
				if *refused && !errors.Is(err, syscall.ECONNREFUSED) {
					err = nil
				}
				took := time.Since(start)
				mu.Lock()
				count++
				worst = max(worst, took)
				if err != nil {
					failed = append(failed, fmt.Sprintf("%s after %v: %v", start.Format("15:04:05.000"), took, err))
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	fmt.Printf("requests %d failed %d slowest %v\n", count, len(failed), worst.Round(time.Millisecond))
	for _, f := range failed[:min(len(failed), 20)] {
		fmt.Println(f)
	}
	if len(failed) > 0 || count == 0 {
		os.Exit(1)
	}
}

func newLoadClient(keep, two bool) *http.Client {
	return &http.Client{
		Timeout: 30 * time.Second,
		Transport: &http.Transport{
			TLSClientConfig:   &tls.Config{RootCAs: roots()},
			DisableKeepAlives: !keep,
			ForceAttemptHTTP2: two,
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				var dialer net.Dialer
				return dialer.DialContext(ctx, network, "127.0.0.1:"+os.Getenv("HTTPS_PORT"))
			},
		},
	}
}

// roots are the appliance's own CA.
func roots() *x509.CertPool {
	pem, err := os.ReadFile(os.Getenv("ROOTS"))
	if err != nil {
		fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return pool
}

// request succeeds when the answer is 200 and arrives whole.
func request(client *http.Client, url string, post bool) error {
	ask := func() (*http.Response, error) { return client.Get(url) }
	if post {
		ask = func() (*http.Response, error) { return client.Post(url, "text/plain", strings.NewReader("once")) }
	}
	response, err := ask()
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %.200s", response.Status, answer)
	}
	return nil
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
