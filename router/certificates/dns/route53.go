package dns

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

const (
	route53Region = "us-east-1" // where the service signs, wherever the zone is
	route53API    = "/2013-04-01"
)

// route53 is Amazon's Route 53. Its requests are signed by Amazon's library and
// written here: the whole client would make every process of ours 4 MB larger.
// It knows sets of records only, which are read, changed and written back.
type route53 struct {
	service
	credentials aws.Credentials
	zoneID      string // "" is looked for
	signer      *v4.Signer
	mu          sync.Mutex // held over reading and writing back
}

func route53Kind() kind {
	return kind{
		name: "route53",
		settings: []Setting{
			{Name: "AWS_ACCESS_KEY_ID"},
			{Name: "AWS_SECRET_ACCESS_KEY", Secret: true},
			{Name: "AWS_SESSION_TOKEN", Secret: true, Optional: true},
			{Name: "AWS_HOSTED_ZONE_ID", Optional: true},
			{Name: "AWS_ENDPOINT_URL_ROUTE_53", Optional: true},
			{Name: "AWS_REGION", Optional: true}, // people have it; the service has one region
		},
		open: func(get map[string]string) (zone, error) {
			return &route53{
				service: newService("Route 53", "https://route53.amazonaws.com", get["AWS_ENDPOINT_URL_ROUTE_53"], nil),
				credentials: aws.Credentials{
					AccessKeyID: get["AWS_ACCESS_KEY_ID"], SecretAccessKey: get["AWS_SECRET_ACCESS_KEY"], SessionToken: get["AWS_SESSION_TOKEN"],
				},
				zoneID: get["AWS_HOSTED_ZONE_ID"],
				signer: v4.NewSigner(),
			}, nil
		},
	}
}

// Documents of the service, as far as they are of use here.
type (
	route53Zones struct {
		Zones []struct {
			ID      string `xml:"Id"` // "/hostedzone/Z123"
			Name    string // with a trailing dot
			Private bool   `xml:"Config>PrivateZone"`
		} `xml:"HostedZones>HostedZone"`
	}
	route53Set struct {
		Name   string
		Type   string
		TTL    int
		Values []string `xml:"ResourceRecords>ResourceRecord>Value"`
	}
	route53Sets struct {
		Sets []route53Set `xml:"ResourceRecordSets>ResourceRecordSet"`
	}
	route53Change struct {
		XMLName xml.Name   `xml:"https://route53.amazonaws.com/doc/2013-04-01/ ChangeResourceRecordSetsRequest"`
		Action  string     `xml:"ChangeBatch>Changes>Change>Action"`
		Set     route53Set `xml:"ChangeBatch>Changes>Change>ResourceRecordSet"`
	}
)

func (r *route53) add(ctx context.Context, zone, name, value string) error {
	return r.change(ctx, zone, name, value, true)
}

func (r *route53) remove(ctx context.Context, zone, name, value string) error {
	return r.change(ctx, zone, name, value, false)
}

// change writes the set back with the value or without it.
func (r *route53) change(ctx context.Context, zone, name, value string, present bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	id, err := r.find(ctx, zone)
	if err != nil {
		return err
	}
	name = absolute(zone, name) + "."
	set := route53Set{Name: name, Type: "TXT", TTL: ttl}
	var found route53Sets
	place := route53API + "/hostedzone/" + url.PathEscape(id) + "/rrset"
	if err := r.ask(ctx, "GET", place+"?maxitems=1&type=TXT&name="+url.QueryEscape(name), nil, &found); err != nil {
		return err
	}
	if len(found.Sets) > 0 && found.Sets[0].Type == "TXT" && strings.EqualFold(found.Sets[0].Name, name) {
		set = found.Sets[0]
	}
	had := slices.Contains(set.Values, quote(value))
	if had == present {
		return nil
	}
	c := route53Change{Action: "UPSERT", Set: set}
	if present {
		c.Set.Values = append(c.Set.Values, quote(value))
	} else if len(set.Values) == 1 {
		c.Action = "DELETE" // and it wants to be told what it deletes
	} else {
		c.Set.Values = slices.DeleteFunc(slices.Clone(set.Values), func(stored string) bool { return stored == quote(value) })
	}
	return r.ask(ctx, "POST", place, c, nil)
}

// find returns the ID of the public zone of that name.
func (r *route53) find(ctx context.Context, zone string) (string, error) {
	if r.zoneID != "" {
		return strings.TrimPrefix(r.zoneID, "/hostedzone/"), nil
	}
	var found route53Zones
	if err := r.ask(ctx, "GET", route53API+"/hostedzonesbyname?maxitems=10&dnsname="+url.QueryEscape(zone+"."), nil, &found); err != nil {
		return "", err
	}
	for _, z := range found.Zones {
		if strings.EqualFold(z.Name, zone+".") && !z.Private {
			return strings.TrimPrefix(z.ID, "/hostedzone/"), nil
		}
	}
	return "", fmt.Errorf("Route 53: the account has no public zone %s", zone)
}

func (r *route53) ask(ctx context.Context, method, path string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = xml.Marshal(in); err != nil {
			return fmt.Errorf("write a request to Route 53: %w", err)
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, r.base+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("write a request to Route 53: %w", err)
	}
	if in != nil {
		req.Header.Set("Content-Type", "text/xml")
	}
	sum := sha256.Sum256(body)
	if err := r.signer.SignHTTP(ctx, r.credentials, req, hex.EncodeToString(sum[:]), "route53", route53Region, time.Now()); err != nil {
		return fmt.Errorf("sign a request to Route 53: %w", err)
	}
	raw, err := r.do(req)
	if err != nil {
		return err
	}
	if out == nil {
		return nil
	}
	if err := xml.Unmarshal(raw, out); err != nil {
		return errors.New("the answer of Route 53 is not what it should be")
	}
	return nil
}
