package web

import (
	"context"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/router"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/verbs"
)

// Meter has the figures that no verb tells. *edge.Requests is one.
type Meter interface {
	LostRequestLines() uint64
	RefusedConnections() uint64
	Counters() map[string]router.Stats
}

// metrics answers Prometheus. Whoever has the token reads figures and nothing
// else; everybody else learns nothing, not even whether there is a token.
func (s *Server) metrics() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		right, err := s.api.MayScrape(token)
		if err != nil {
			answerError(w, s.api.Fault(err, "GET /metrics", store.User{}))
			return
		}
		if !strings.EqualFold(scheme, "Bearer") || !right {
			w.Header().Set("WWW-Authenticate", `Bearer realm="berth"`)
			http.Error(w, "a token is required: create one with berth metrics:token", http.StatusUnauthorized)
			return
		}
		// A registry for each scrape: what it collects hangs on the request.
		registry := prometheus.NewRegistry()
		registry.MustRegister(&meter{s.cfg.Meter, s.api.Table, s.cfg.Version, r.Context()}, collectors.NewGoCollector(),
			collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
		promhttp.HandlerFor(registry, promhttp.HandlerOpts{
			ErrorLog:      slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
			ErrorHandling: promhttp.ContinueOnError, // one figure that is missing must not hide the others
		}).ServeHTTP(w, r)
	})
}

// meter collects what one scrape gets to see.
type meter struct {
	Meter
	table   *verbs.Table
	version string
	ctx     context.Context
}

func metric(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("berth_"+name, help, labels, nil)
}

// Describe describes nothing: which metrics there are depends on the apps, and
// the registry checks them as they are collected.
func (m *meter) Describe(chan<- *prometheus.Desc) {}

// Collect is prometheus.Collector's.
func (m *meter) Collect(out chan<- prometheus.Metric) {
	constant(out, metric("build_info", "What runs here; always 1.", "version", "goversion"), prometheus.GaugeValue, 1,
		m.version, runtime.Version())
	constant(out, metric("access_log_dropped_lines_total", "Lines of access logs that could not be written."),
		prometheus.CounterValue, float64(m.LostRequestLines()))
	constant(out, metric("connections_refused_total", "Connections of addresses that had too many."),
		prometheus.CounterValue, float64(m.RefusedConnections()))
	for app, stats := range m.Counters() {
		collectRequests(out, app, stats)
	}
	apps, err := verbs.Ask[[]deploy.AppStatus](m.ctx, m.table, store.Root, "apps:list", nil)
	if err != nil {
		m.failed(out, "instance_up", err)
	}
	for _, app := range apps {
		collectInstances(out, app)
	}
	certificates, err := verbs.Ask[[]verbs.Certificate](m.ctx, m.table, store.Root, "certs:report", nil)
	if err != nil {
		m.failed(out, "certificate_not_after_timestamp_seconds", err)
	}
	for _, c := range certificates {
		collectCertificate(out, c)
	}
}

// failed has the scrape say that figures are missing.
func (m *meter) failed(out chan<- prometheus.Metric, name string, err error) {
	out <- prometheus.NewInvalidMetric(metric(name, "It could not be read."), err)
}

func collectRequests(out chan<- prometheus.Metric, app string, s router.Stats) {
	requests := metric("http_requests_total", "Requests that an app was to answer, by the class of the response's status.", "app", "code")
	for class := 1; class < len(s.Status); class++ {
		constant(out, requests, prometheus.CounterValue, float64(s.Status[class]), app, string('0'+rune(class))+"xx")
	}
	buckets := map[float64]uint64{}
	n := uint64(0)
	for i, bound := range router.LatencyBounds {
		n += s.Latency[i]
		buckets[bound.Seconds()] = n
	}
	out <- prometheus.MustNewConstHistogram(
		metric("http_request_duration_seconds", "How long requests took; WebSockets and event streams until they began.", "app"),
		s.Finished(), s.LatencySum.Seconds(), buckets, app)
	constant(out, metric("http_requests_in_flight", "Requests under way, WebSockets and event streams among them.", "app"), prometheus.GaugeValue, float64(s.InFlight), app)
	constant(out, metric("port_connections", "Connections of an app's TCP ports that are open.", "app"), prometheus.GaugeValue, float64(s.Open), app)
	for _, c := range []struct {
		name, help string
		value      uint64
	}{
		{"http_refused_total", "Requests that limits, maintenance or passwords kept from an app.", s.Refused},
		{"http_retries_total", "Tries after the first, on another instance or a fresh connection.", s.Retries},
		{"http_request_bytes_total", "Bytes of requests' bodies, and what clients sent to TCP ports.", s.BytesIn},
		{"http_response_bytes_total", "Bytes of responses' bodies, and what TCP ports answered.", s.BytesOut},
		{"port_connections_total", "Connections that an app's TCP ports took.", s.Connections},
	} {
		constant(out, metric(c.name, c.help, "app"), prometheus.CounterValue, float64(c.value), app)
	}
}

func collectInstances(out chan<- prometheus.Metric, app deploy.AppStatus) {
	for _, i := range app.Instances {
		for _, figure := range []struct {
			name, help string
			kind       prometheus.ValueType
			value      float64
		}{
			{"instance_up", "Whether an instance is healthy.", prometheus.GaugeValue, truth(i.State == deploy.InstanceUp)},
			{"instance_restarts_total", "How often an instance was started again.", prometheus.CounterValue, float64(i.Restarts)},
			{"instance_memory_bytes", "Memory of an instance, without page cache that can be dropped.", prometheus.GaugeValue, float64(i.Memory)},
			{"instance_cpu_seconds_total", "Processor time of an instance since its start.", prometheus.CounterValue, i.CPU},
		} {
			constant(out, metric(figure.name, figure.help, "app", "instance"), figure.kind, figure.value, app.Name, i.Name)
		}
	}
}

func collectCertificate(out chan<- prometheus.Metric, c verbs.Certificate) {
	if !c.NotAfter.IsZero() {
		constant(out, metric("certificate_not_after_timestamp_seconds", "When the certificate of a host ends.", "app", "host", "source"),
			prometheus.GaugeValue, float64(c.NotAfter.Unix())+float64(c.NotAfter.Nanosecond())/float64(time.Second), c.App, c.Host, c.Source)
	}
	constant(out, metric("certificate_order_failing", "Whether the last order of a certificate failed.", "app", "host"),
		prometheus.GaugeValue, truth(c.LastError != ""), c.App, c.Host)
}

func constant(out chan<- prometheus.Metric, d *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) {
	m, err := prometheus.NewConstMetric(d, kind, value, labels...)
	if err != nil {
		m = prometheus.NewInvalidMetric(d, err) // a label that is not UTF-8
	}
	out <- m
}

func truth(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
