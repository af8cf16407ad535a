package dns

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/libdns/libdns"
)

const token = "s3cr3t-t0k3n"

// zoneFile is the zone example.com at a stand-in for a provider: the TXT values
// of a name, unquoted. One value is of somebody else.
type zoneFile struct {
	mu   sync.Mutex
	text map[string][]string
}

func newZoneFile() *zoneFile {
	return &zoneFile{text: map[string][]string{"_acme-challenge.www": {"somebody else's"}}}
}

func (z *zoneFile) values(name string) []string { return slices.Clone(z.text[name]) }

func unquote(value string) string { return strings.Trim(value, `"`) }

// relative turns a full name into one of the zone.
func relative(name string) string {
	return strings.TrimSuffix(strings.TrimSuffix(name, "."), ".example.com")
}

func standIn(t *testing.T, z *zoneFile, routes map[string]func(w http.ResponseWriter, req *http.Request)) string {
	mux := http.NewServeMux()
	for pattern, handler := range routes {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, req *http.Request) {
			if !strings.Contains(req.Header.Get("Authorization"), token) && !strings.HasPrefix(req.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=AKID/") {
				http.Error(w, "who are you?", http.StatusUnauthorized)
				return
			}
			z.mu.Lock()
			defer z.mu.Unlock()
			handler(w, req)
		})
	}
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return srv.URL
}

func readJSON[T any](t *testing.T, req *http.Request) (v T) {
	if err := json.NewDecoder(req.Body).Decode(&v); err != nil {
		t.Errorf("%s %s: %v", req.Method, req.URL, err)
	}
	return v
}

func writeJSON(w http.ResponseWriter, v any) { json.NewEncoder(w).Encode(v) }

// list numbers the values of a name, so that they can be deleted by number.
func (z *zoneFile) list(name string) (ids []int) {
	for i := range z.text[name] {
		ids = append(ids, i)
	}
	return ids
}

func (z *zoneFile) drop(name string, i int) { z.text[name] = slices.Delete(z.text[name], i, i+1) }

func cloudflareStandIn(t *testing.T, z *zoneFile) map[string]string {
	url := standIn(t, z, map[string]func(http.ResponseWriter, *http.Request){
		"GET /zones": func(w http.ResponseWriter, req *http.Request) {
			zones := []map[string]string{}
			if req.URL.Query().Get("name") == "example.com" {
				zones = append(zones, map[string]string{"id": "z1"})
			}
			writeJSON(w, map[string]any{"success": true, "result": zones})
		},
		"POST /zones/z1/dns_records": func(w http.ResponseWriter, req *http.Request) {
			r := readJSON[cloudflareRecord](t, req)
			z.text[relative(r.Name)] = append(z.text[relative(r.Name)], unquote(r.Content))
		},
		"GET /zones/z1/dns_records": func(w http.ResponseWriter, req *http.Request) {
			name, found := relative(req.URL.Query().Get("name")), []cloudflareRecord{}
			for _, i := range z.list(name) {
				found = append(found, cloudflareRecord{ID: fmt.Sprintf("%s:%d", name, i), Content: quote(z.text[name][i])})
			}
			writeJSON(w, map[string]any{"result": found})
		},
		"DELETE /zones/z1/dns_records/{id}": func(_ http.ResponseWriter, req *http.Request) {
			name, i, _ := strings.Cut(req.PathValue("id"), ":")
			n := 0
			fmt.Sscan(i, &n)
			z.drop(name, n)
		},
	})
	return map[string]string{"CLOUDFLARE_DNS_API_TOKEN": token, "CLOUDFLARE_BASE_URL": url}
}

func digitaloceanStandIn(t *testing.T, z *zoneFile) map[string]string {
	names := []string{}
	url := standIn(t, z, map[string]func(http.ResponseWriter, *http.Request){
		"POST /v2/domains/example.com/records": func(w http.ResponseWriter, req *http.Request) {
			r := readJSON[digitaloceanRecord](t, req)
			z.text[r.Name] = append(z.text[r.Name], r.Data)
			w.WriteHeader(http.StatusCreated)
		},
		"GET /v2/domains/example.com/records": func(w http.ResponseWriter, req *http.Request) {
			name, found := relative(req.URL.Query().Get("name")), []digitaloceanRecord{}
			for _, i := range z.list(name) {
				names = append(names, name)
				found = append(found, digitaloceanRecord{ID: int64(len(names)*100 + i), Data: z.text[name][i]})
			}
			writeJSON(w, map[string]any{"domain_records": found})
		},
		"DELETE /v2/domains/example.com/records/{id}": func(w http.ResponseWriter, req *http.Request) {
			n := 0
			fmt.Sscan(req.PathValue("id"), &n)
			z.drop(names[n/100-1], n%100)
			w.WriteHeader(http.StatusNoContent)
		},
	})
	return map[string]string{"DO_AUTH_TOKEN": token, "DO_API_URL": url}
}

func hetznerStandIn(t *testing.T, z *zoneFile) map[string]string {
	act := func(change func(name, value string) bool) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, req *http.Request) {
			for _, r := range readJSON[hetznerRecords](t, req).Records {
				if !strings.HasPrefix(r.Value, `"`) {
					http.Error(w, "TXT records must be quoted", http.StatusUnprocessableEntity)
				} else if !change(req.PathValue("name"), unquote(r.Value)) {
					http.NotFound(w, req)
				}
			}
		}
	}
	url := standIn(t, z, map[string]func(http.ResponseWriter, *http.Request){
		"POST /zones/example.com/rrsets/{name}/TXT/actions/add_records": act(func(name, value string) bool {
			z.text[name] = append(z.text[name], value)
			return true
		}),
		"POST /zones/example.com/rrsets/{name}/TXT/actions/remove_records": act(func(name, value string) bool {
			i := slices.Index(z.text[name], value)
			if i >= 0 {
				z.drop(name, i)
			}
			return i >= 0
		}),
	})
	return map[string]string{"HETZNER_API_TOKEN": token, "HETZNER_API_URL": url}
}

func gandiStandIn(t *testing.T, z *zoneFile) map[string]string {
	const place = " /domains/example.com/records/{name}/TXT"
	url := standIn(t, z, map[string]func(http.ResponseWriter, *http.Request){
		"GET" + place: func(w http.ResponseWriter, req *http.Request) {
			values := z.text[req.PathValue("name")]
			if len(values) == 0 {
				http.NotFound(w, req)
				return
			}
			set := gandiRecords{TTL: 10800}
			for _, value := range values {
				set.Values = append(set.Values, quote(value))
			}
			writeJSON(w, set)
		},
		"PUT" + place: func(w http.ResponseWriter, req *http.Request) {
			set := readJSON[gandiRecords](t, req)
			if set.TTL < gandiTTL || len(set.Values) == 0 {
				http.Error(w, "no", http.StatusBadRequest)
				return
			}
			z.text[req.PathValue("name")] = nil
			for _, value := range set.Values {
				z.text[req.PathValue("name")] = append(z.text[req.PathValue("name")], unquote(value))
			}
		},
		"DELETE" + place: func(w http.ResponseWriter, req *http.Request) {
			delete(z.text, req.PathValue("name"))
			w.WriteHeader(http.StatusNoContent)
		},
	})
	return map[string]string{"GANDIV5_PERSONAL_ACCESS_TOKEN": token, "GANDIV5_BASE_URL": url}
}

func route53StandIn(t *testing.T, z *zoneFile) map[string]string {
	url := standIn(t, z, map[string]func(http.ResponseWriter, *http.Request){
		"GET /2013-04-01/hostedzonesbyname": func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, `<?xml version="1.0"?><ListHostedZonesByNameResponse xmlns="https://route53.amazonaws.com/doc/2013-04-01/"><HostedZones>
				<HostedZone><Id>/hostedzone/ZPRIVATE</Id><Name>example.com.</Name><Config><PrivateZone>true</PrivateZone></Config></HostedZone>
				<HostedZone><Id>/hostedzone/Z1</Id><Name>example.com.</Name><Config><PrivateZone>false</PrivateZone></Config></HostedZone>
				</HostedZones></ListHostedZonesByNameResponse>`)
		},
		"GET /2013-04-01/hostedzone/Z1/rrset": func(w http.ResponseWriter, req *http.Request) {
			name := req.URL.Query().Get("name")
			var answer struct {
				XMLName xml.Name `xml:"ListResourceRecordSetsResponse"`
				route53Sets
			}
			set := route53Set{Name: "z-next.example.com.", Type: "TXT", TTL: 5, Values: []string{`"next"`}} // the list begins there
			if values := z.text[relative(name)]; len(values) > 0 {
				set = route53Set{Name: name, Type: "TXT", TTL: 5}
				for _, value := range values {
					set.Values = append(set.Values, quote(value))
				}
			}
			answer.Sets = []route53Set{set}
			xml.NewEncoder(w).Encode(answer)
		},
		"POST /2013-04-01/hostedzone/Z1/rrset": func(w http.ResponseWriter, req *http.Request) {
			var c route53Change
			if err := xml.NewDecoder(req.Body).Decode(&c); err != nil {
				t.Error(err)
			}
			name, values := relative(c.Set.Name), []string{}
			for _, value := range c.Set.Values {
				values = append(values, unquote(value))
			}
			switch c.Action {
			case "UPSERT":
				z.text[name] = values
			case "DELETE":
				if !slices.Equal(z.text[name], values) {
					http.Error(w, "values do not match", http.StatusBadRequest)
					return
				}
				delete(z.text, name)
			}
		},
	})
	return map[string]string{"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": token, "AWS_ENDPOINT_URL_ROUTE_53": url}
}

func TestProvider_AddsAndRemovesBesideWhatIsThere(t *testing.T) {
	for name, start := range map[string]func(*testing.T, *zoneFile) map[string]string{
		"cloudflare": cloudflareStandIn, "digitalocean": digitaloceanStandIn, "hetzner": hetznerStandIn,
		"gandi": gandiStandIn, "route53": route53StandIn,
	} {
		t.Run(name, func(t *testing.T) {
			z := newZoneFile()
			settings := start(t, z)
			p, err := New(name, settings)
			if err != nil {
				t.Fatal(err)
			}
			record := func(name, value string) []libdns.Record {
				return []libdns.Record{libdns.RR{Type: "TXT", Name: name, Data: value}}
			}
			want := func(name string, values ...string) {
				t.Helper()
				z.mu.Lock()
				defer z.mu.Unlock()
				if got := z.values(name); !slices.Equal(got, values) {
					t.Errorf("%s has %q, want %q", name, got, values)
				}
			}
			ctx := t.Context()
			for _, value := range []string{"one", "two"} { // example.com and *.example.com at once
				for _, name := range []string{"_acme-challenge", "_acme-challenge.www"} {
					if got, err := p.AppendRecords(ctx, "example.com.", record(name, value)); err != nil || len(got) != 1 {
						t.Fatalf("append: %v, %v", got, err)
					}
				}
			}
			want("_acme-challenge", "one", "two")
			want("_acme-challenge.www", "somebody else's", "one", "two")
			for _, value := range []string{"one", "two", "two"} { // removing twice is done already
				for _, name := range []string{"_acme-challenge", "_acme-challenge.www"} {
					if _, err := p.DeleteRecords(ctx, "example.com.", record(name, value)); err != nil {
						t.Fatalf("delete: %v", err)
					}
				}
			}
			want("_acme-challenge")
			want("_acme-challenge.www", "somebody else's")

			// What goes wrong is told without the credentials.
			if _, err := p.AppendRecords(ctx, "example.net.", record("_acme-challenge", "x")); name != "route53" && err == nil {
				t.Error("a zone that is not there was changed")
			} else if err != nil && strings.Contains(err.Error(), token) {
				t.Errorf("the token is in %v", err)
			}
			if _, err := p.AppendRecords(ctx, "example.com.", []libdns.Record{libdns.RR{Type: "A", Name: "x", Data: "127.0.0.1"}}); err == nil {
				t.Error("a record that is no challenge's was made")
			}
		})
	}
}

func TestNew_SaysWhatIsMissing(t *testing.T) {
	for _, c := range []struct {
		name     string
		settings map[string]string
		want     string
	}{
		{"nobody", nil, "there is no DNS provider"},
		{"cloudflare", nil, "cloudflare needs CLOUDFLARE_DNS_API_TOKEN"},
		{"route53", map[string]string{"AWS_ACCESS_KEY_ID": "a"}, "route53 needs AWS_SECRET_ACCESS_KEY"},
		{"rfc2136", map[string]string{"RFC2136_NAMESERVER": "ns.example.com", "RFC2136_TSIG_KEY": "k"}, "needs both"},
		{"rfc2136", map[string]string{"RFC2136_NAMESERVER": "ns", "RFC2136_TSIG_KEY": "k", "RFC2136_TSIG_SECRET": token + "!"}, "not base64"},
		{"rfc2136", map[string]string{"RFC2136_NAMESERVER": "ns", "RFC2136_TSIG_ALGORITHM": "hmac-md5"}, "RFC2136_TSIG_ALGORITHM"},
	} {
		_, err := New(c.name, c.settings)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), token) {
			t.Errorf("%s with %v: %v, want %q", c.name, c.settings, err, c.want)
		}
	}
	for alias, want := range map[string]string{"CF_DNS_API_TOKEN": "CLOUDFLARE_DNS_API_TOKEN", "hetzner_api_key": "HETZNER_API_TOKEN"} {
		if got, ok := Canonical(alias); !ok || got != want {
			t.Errorf("Canonical(%q) is %q, %v", alias, got, ok)
		}
	}
}
