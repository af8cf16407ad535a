package images

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/berthd/berth/runtime"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A registry's answers name other places: for tokens, blobs and layers.
func TestResolver_IsLedNowhereByARegistry(t *testing.T) {
	var asked atomic.Int32
	inner := serveAt(t, "127.0.0.1", func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		fmt.Fprint(w, `{"token":"x"}`)
	})
	blob := digest.FromString("blob")
	world := serveAt(t, "127.0.0.2", func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.Contains(r.URL.Path, "/secret/"):
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s/token",service="x"`, inner.URL))
			w.WriteHeader(http.StatusUnauthorized)
		case strings.Contains(r.URL.Path, "/away/"):
			http.Redirect(w, r, inner.URL+r.URL.Path, http.StatusTemporaryRedirect)
		case strings.HasSuffix(r.URL.Path, "/blobs/"+blob.String()):
			io.WriteString(w, "blob")
		default:
			http.NotFound(w, r)
		}
	})
	host := world.Listener.Addr().String()
	client := runtime.GuardedClient(onlyWorld)
	for _, name := range []string{"/secret/x:v1", "/away/x:v1"} {
		if _, _, err := newResolver(Login{}, client).Resolve(t.Context(), host+name); err == nil {
			t.Errorf("%s is resolved", name)
		}
	}
	fetcher, err := newResolver(Login{}, client).Fetcher(t.Context(), host+"/x:v1")
	if err != nil {
		t.Fatal(err)
	}
	r, err := fetcher.Fetch(t.Context(), ocispec.Descriptor{
		MediaType: ocispec.MediaTypeImageLayer, Digest: blob, Size: 4, URLs: []string{inner.URL + "/layer"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); string(got) != "blob" || err != nil {
		t.Errorf("got %q, %v, want the registry's blob", got, err)
	}
	if n := asked.Load(); n > 0 {
		t.Errorf("the inner server was asked %d times", n)
	}
}

func serveAt(t *testing.T, address string, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	l, err := net.Listen("tcp", address+":0")
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(handler)
	s.Listener.Close()
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	return s
}

// onlyWorld takes 127.0.0.2 for the world, and 127.0.0.1 for what must not be reached.
func onlyWorld(addr netip.Addr) bool { return addr == netip.MustParseAddr("127.0.0.2") }
