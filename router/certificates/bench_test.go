package certificates

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
)

// benchACME is a CA that nobody answers for: every certificate is there already.
var benchACME = ACME{Email: contact, CAs: []CA{{Directory: "https://127.0.0.1:1/dir"}}}

// stocked returns a storage with a certificate for each of n hosts, as an ACME
// CA's would be stored.
func stocked(b *testing.B, n int) (certmagic.Storage, []Host) {
	b.Helper()
	storage := &certmagic.FileStorage{Path: b.TempDir()}
	ca := newKeeper(b, &certmagic.FileStorage{Path: b.TempDir()}).local
	issuer := (&certmagic.ACMEIssuer{CA: benchACME.CAs[0].Directory}).IssuerKey()
	hosts := make([]Host, n)
	for i := range hosts {
		name := fmt.Sprintf("app%d.example.com", i)
		stock(b, storage, ca, issuer, name)
		hosts[i] = Host{Name: name}
	}
	return storage, hosts
}

func stock(b *testing.B, storage certmagic.Storage, ca *localCA, issuer, name string) {
	b.Helper()
	pair, err := ca.issue([]string{name}, time.Now())
	if err != nil {
		b.Fatal(err)
	}
	end := strings.Index(string(pair), "-----BEGIN CERTIFICATE")
	values := [3][]byte{pair[end:], pair[:end], fmt.Appendf(nil, `{"sans":[%q]}`, name)}
	for i, key := range storedAs(issuer, name) {
		if err := storage.Store(b.Context(), key, values[i]); err != nil {
			b.Fatal(err)
		}
	}
}

func benchKeeper(b *testing.B, storage certmagic.Storage, hosts []Host) *Keeper {
	b.Helper()
	k, err := New(context.Background(), Config{Storage: storage}, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	if err := k.SetHosts(b.Context(), hosts, benchACME); err != nil {
		b.Fatal(err)
	}
	// The last keeper's jobs may be writing to the files still: what is not read
	// at once is read a moment later.
	await(b, "all certificates are read", func() bool {
		for _, host := range hosts {
			if k.fromACME(host.Name) == nil {
				return false
			}
		}
		return true
	})
	return k
}

// BenchmarkKeeper_Boot reads the certificates of n hosts, and tells what they
// take in memory.
func BenchmarkKeeper_Boot(b *testing.B) {
	for _, n := range []int{10, 5000} {
		b.Run(fmt.Sprintf("hosts=%d", n), func(b *testing.B) {
			storage, hosts := stocked(b, n)
			var before, after runtime.MemStats
			heap := 0.0 // the most: a closed keeper's last jobs hold on to it for a while
			for b.Loop() {
				b.StopTimer()
				runtime.GC()
				runtime.ReadMemStats(&before)
				b.StartTimer()
				k := benchKeeper(b, storage, hosts)
				b.StopTimer()
				runtime.GC()
				runtime.ReadMemStats(&after)
				heap = max(heap, (float64(after.HeapAlloc)-float64(before.HeapAlloc))/float64(n))
				k.Close()
				b.StartTimer()
			}
			b.ReportMetric(heap, "heap-B/host")
		})
	}
}

// BenchmarkKeeper_Handshake is what of a handshake is ours: which certificate.
func BenchmarkKeeper_Handshake(b *testing.B) {
	for _, n := range []int{10, 5000} {
		b.Run(fmt.Sprintf("hosts=%d", n), func(b *testing.B) {
			storage, hosts := stocked(b, n)
			k := benchKeeper(b, storage, hosts)
			b.Cleanup(k.Close)
			certified := func(host string) (string, bool) { return host, true }
			hello := helloFor(hosts[n/2].Name)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := k.certificate(hello, certified); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// helloFor returns what a server is told of a client who wants that name.
func helloFor(name string) (hello *tls.ClientHelloInfo) {
	left, right := net.Pipe()
	defer left.Close()
	go tls.Client(right, &tls.Config{ServerName: name}).Handshake()
	tls.Server(left, &tls.Config{GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
		hello = h
		return nil, errors.New("enough")
	}}).Handshake()
	return hello
}

// BenchmarkKeeper_AddHost adds a host beside n others, and takes it away.
func BenchmarkKeeper_AddHost(b *testing.B) {
	for _, n := range []int{10, 5000} {
		b.Run(fmt.Sprintf("hosts=%d", n), func(b *testing.B) {
			storage, hosts := stocked(b, n+1)
			k := benchKeeper(b, storage, hosts[:n])
			b.Cleanup(k.Close)
			for b.Loop() {
				for _, wanted := range [][]Host{hosts[n:], nil} {
					if err := k.SetHostsFor(b.Context(), "new", wanted); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
