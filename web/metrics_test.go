package web

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/router"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/verbs"
)

func (p *puppet) Counters() map[string]router.Stats {
	return map[string]router.Stats{"shop": {
		Requests: 12, InFlight: 1, Status: [6]uint64{1: 1, 2: 8, 5: 2}, Refused: 4, Retries: 3, BytesIn: 100, BytesOut: 2000, Connections: 9, Open: 4,
		Latency: [12]uint64{0: 9, 7: 1, 11: 1}, LatencySum: 21500 * time.Millisecond,
	}}
}

func (p *puppet) LostRequestLines() uint64 { return 5 }

func (p *puppet) RefusedConnections() uint64 { return 6 }

// scrape asks for the metrics with the value of an Authorization header.
func scrape(h *house, authorization string) (int, string) {
	req := httptest.NewRequest("GET", "https://berth.example.com/metrics", nil)
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	w := httptest.NewRecorder()
	h.Handler().ServeHTTP(w, req)
	body, _ := io.ReadAll(w.Result().Body)
	return w.Code, string(body)
}

func TestMetrics_AreForWhoHasTheToken(t *testing.T) {
	h := newHouse(t)
	hash := verbs.HashOf("")
	for _, wrong := range []string{"", "Bearer ", "Bearer", "Basic YTpi", "Bearer " + hash} {
		if code, body := scrape(h, wrong); code != http.StatusUnauthorized || strings.Contains(body, "berth_") {
			t.Errorf("%q without a token: got %d", wrong, code)
		}
	}
	var first, second verbs.MetricsToken
	for _, token := range []*verbs.MetricsToken{&first, &second} {
		if err := h.table.Call(t.Context(), store.Root, "metrics:token", nil, token, nil); err != nil {
			t.Fatal(err)
		}
	}
	if first.URL != "https://berth.example.com/metrics" {
		t.Errorf("got the address %s", first.URL)
	}
	var settings store.Settings
	if err := h.db.View(func(tx *store.Tx) (err error) { settings, err = tx.Settings(); return err }); err != nil || strings.Contains(settings.MetricsToken, second.Token) {
		t.Errorf("the token is stored as it is: %v, %v", settings.MetricsToken, err)
	}
	for authorization, want := range map[string]int{
		"Bearer " + second.Token: 200, "bearer " + second.Token: 200, "Bearer " + first.Token: 401, "Bearer " + settings.MetricsToken: 401,
		second.Token: 401, "Basic " + second.Token: 401, "Bearer " + second.Token + " ": 401,
	} {
		if code, _ := scrape(h, authorization); code != want {
			t.Errorf("%q: got %d, want %d", authorization, code, want)
		}
	}
	if err := h.table.Call(t.Context(), store.Root, "metrics:off", nil, nil, nil); err != nil {
		t.Fatal(err)
	}
	if code, _ := scrape(h, "Bearer "+second.Token); code != 401 {
		t.Errorf("a token that was taken back: got %d", code)
	}
}

func TestMetrics_AreWhatPrometheusExpects(t *testing.T) {
	h := newHouse(t)
	h.makeApp(t, "shop")
	h.deployer.instances = []deploy.Instance{{Name: "web.1", State: deploy.InstanceUp, Restarts: 2, Memory: 1 << 20, CPU: 1.5}}
	var token verbs.MetricsToken
	if err := h.table.Call(t.Context(), store.Root, "metrics:token", nil, &token, nil); err != nil {
		t.Fatal(err)
	}
	code, body := scrape(h, "Bearer "+token.Token)
	if code != 200 {
		t.Fatalf("got %d: %s", code, body)
	}
	for _, want := range []string{
		`berth_build_info{goversion="go`,
		`berth_access_log_dropped_lines_total 5`,
		`berth_connections_refused_total 6`,
		`berth_http_requests_total{app="shop",code="2xx"} 8`,
		`berth_http_requests_total{app="shop",code="3xx"} 0`,
		`berth_http_requests_total{app="shop",code="5xx"} 2`,
		`berth_http_request_duration_seconds_bucket{app="shop",le="0.005"} 9`,
		`berth_http_request_duration_seconds_bucket{app="shop",le="1"} 10`,
		`berth_http_request_duration_seconds_bucket{app="shop",le="+Inf"} 11`,
		`berth_http_request_duration_seconds_sum{app="shop"} 21.5`,
		`berth_http_request_duration_seconds_count{app="shop"} 11`,
		`berth_http_requests_in_flight{app="shop"} 1`,
		`berth_http_refused_total{app="shop"} 4`,
		`berth_http_retries_total{app="shop"} 3`,
		`berth_http_request_bytes_total{app="shop"} 100`,
		`berth_http_response_bytes_total{app="shop"} 2000`,
		`berth_port_connections{app="shop"} 4`,
		`berth_port_connections_total{app="shop"} 9`,
		`berth_instance_up{app="shop",instance="web.1"} 1`,
		`berth_instance_restarts_total{app="shop",instance="web.1"} 2`,
		`berth_instance_memory_bytes{app="shop",instance="web.1"} 1.048576e+06`,
		`berth_instance_cpu_seconds_total{app="shop",instance="web.1"} 1.5`,
		`berth_certificate_order_failing{app="shop",host="shop.example.com"} 0`,
		`process_cpu_seconds_total `,
		`go_goroutines `,
	} {
		if !strings.Contains(body, "\n"+want) {
			t.Errorf("%s is not in\n%s", want, body)
		}
	}
	problems, err := promlint.New(strings.NewReader(body)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}
