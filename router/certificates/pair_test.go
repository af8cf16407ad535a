package certificates

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
)

// pairMaker makes certificates of a CA with an intermediate.
type pairMaker struct {
	t            testing.TB
	root, middle *localCA
	middlePEM    []byte
}

func newPairMaker(t testing.TB) *pairMaker {
	root := newKeeper(t, &certmagic.FileStorage{Path: t.TempDir()}).local
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial(), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(5, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, SubjectKeyId: []byte{1},
	}
	template.Subject.CommonName = "middle"
	parent := *root.root
	parent.MaxPathLen, parent.MaxPathLenZero = 1, false
	der, err := x509.CreateCertificate(rand.Reader, template, &parent, &key.PublicKey, root.key)
	if err != nil {
		t.Fatal(err)
	}
	middle, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &pairMaker{t, root, &localCA{root: middle, key: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

// make returns a certificate without its chain, and its key.
func (m *pairMaker) make(now time.Time, hosts ...string) (certificate, key []byte) {
	m.t.Helper()
	both, err := m.middle.issue(hosts, now)
	if err != nil {
		m.t.Fatal(err)
	}
	block, rest := pem.Decode(both)
	return rest, pem.EncodeToMemory(block)
}

func TestParsePair_RefusesWhatBrowsersWouldAndSaysWhy(t *testing.T) {
	m := newPairMaker(t)
	now := time.Now()
	crt, key := m.make(now, "shop.example.com", "*.shop.example.com")
	_, otherKey := m.make(now, "shop.example.com")
	old, oldKey := m.make(now.AddDate(-1, 0, 0), "shop.example.com")
	future, futureKey := m.make(now.AddDate(1, 0, 0), "shop.example.com")
	nameless, namelessKey := m.make(now)
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	template := leafTemplate([]string{"shop.example.com"}, now, time.Hour*24)
	der, err := x509.CreateCertificate(rand.Reader, template, template, &weak.PublicKey, weak)
	if err != nil {
		t.Fatal(err)
	}
	weakCrt := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	weakKey := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(weak)})
	template = leafTemplate([]string{"shop.example.com"}, now, time.Hour*24)
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	client, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if der, err = x509.CreateCertificate(rand.Reader, template, template, &client.PublicKey, client); err != nil {
		t.Fatal(err)
	}
	clientPair, err := encodePair(client, der)
	if err != nil {
		t.Fatal(err)
	}

	for name, c := range map[string]struct {
		crt, key []byte
		want     string // "" is no error
	}{
		"whole":                     {join(crt, m.middlePEM), key, ""},
		"in the other order":        {join(m.middlePEM, crt), key, ""},
		"with what signed none":     {join(crt, m.middlePEM, old), key, ""},
		"both in one file":          {join(key, crt, m.middlePEM), join(key, crt, m.middlePEM), ""},
		"parameters before the key": {join(crt, m.middlePEM), join([]byte("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"), key), ""},
		"mismatch":                  {join(crt, m.middlePEM), otherKey, "does not belong to the certificate of shop.example.com"},
		"expired":                   {join(old, m.middlePEM), oldKey, "has expired on"},
		"not yet":                   {join(future, m.middlePEM), futureKey, "not valid before"},
		"no chain":                  {crt, key, `chain is missing: the file lacks the certificate of "middle"`},
		"no names":                  {join(nameless, m.middlePEM), namelessKey, "names no host"},
		"encrypted":                 {crt, []byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"), "encrypted"},
		"encrypted, the old way":    {crt, []byte("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n"), "encrypted"},
		"swapped":                   {key, join(crt, m.middlePEM), "a certificate where the key should be"},
		"garbage for a certificate": {[]byte("no"), key, "certificate is not in PEM"},
		"garbage for a key":         {crt, []byte("no"), "key is not in PEM"},
		"damaged certificate":       {[]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), key, "damaged"},
		"damaged key":               {crt, []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), "damaged"},
		"nothing":                   {nil, nil, "not in PEM"},
		"absurd size":               {bytes.Repeat(crt, 200), key, "64 KiB"},
		"a short RSA key":           {weakCrt, weakKey, "1024 bits is too short"},
		"for clients":               {clientPair, clientPair, "not for servers"},
	} {
		pair, chain, secret, err := ParsePair(c.crt, c.key, now)
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want %q", name, err, c.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if again, err := LoadPair(chain, secret); err != nil || !again.Leaf().Equal(pair.Leaf()) || len(again.cert.Certificate) != 2 {
			t.Errorf("%s: what is kept is not what was given: %v", name, err)
		}
		for host, want := range map[string]bool{
			"shop.example.com": true, "a.shop.example.com": true, "*.shop.example.com": true,
			"example.com": false, "a.b.shop.example.com": false, "*.example.com": false,
		} {
			if got := pair.Covers(host); got != want {
				t.Errorf("%s: Covers(%q) is %v", name, host, got)
			}
		}
	}
}

func TestSelfSigned_IsAPairLikeAnyOther(t *testing.T) {
	crt, key, err := SelfSigned([]string{"shop.example.com", "*.example.net"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	pair, _, _, err := ParsePair(crt, key, time.Now())
	if err != nil || !pair.SelfSigned() || !pair.Covers("www.example.net") {
		t.Errorf("got %v, %v", pair, err)
	}
}

func FuzzParsePair(f *testing.F) {
	crt, key, err := SelfSigned([]string{"shop.example.com"}, time.Now())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(crt, key)
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"), []byte("-----BEGIN EC PRIVATE KEY-----\n-----END EC PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, crt, key []byte) {
		if pair, chain, secret, err := ParsePair(crt, key, time.Now()); err == nil {
			if _, err := LoadPair(chain, secret); err != nil || len(pair.Hosts()) == 0 {
				t.Errorf("accepted, and cannot be served: %v", err)
			}
		}
	})
}

func TestKeeper_OwnPairGoesFirstAndLeavesNoGap(t *testing.T) {
	s := start(t, &certmagic.FileStorage{Path: t.TempDir()})
	m := newPairMaker(t)
	pairOf := func(now time.Time) *Pair {
		crt, key := m.make(now, "shop.example.com")
		pair, err := LoadPair(append(crt, m.middlePEM...), key)
		if err != nil {
			t.Fatal(err)
		}
		return pair
	}
	own := pairOf(time.Now())
	s.set(t, ACME{}, Host{Name: "shop.example.com", Own: own}, Host{Name: "shop.localhost"})
	if !handshake(t, s.secure, "shop.example.com").Equal(own.Leaf()) || !s.local(t, "shop.localhost") {
		t.Error("the pair does not serve its host, or it serves another's")
	}
	st := s.State("shop.example.com")
	if !st.Own || st.Local || st.Issuer != "middle" || !st.NotAfter.Equal(own.Leaf().NotAfter) {
		t.Errorf("state: %+v", st)
	}
	s.set(t, ACME{}, Host{Name: "shop.example.com", Own: pairOf(time.Now().AddDate(-1, 0, 0))})
	if st := s.State("shop.example.com"); st.Own || !s.local(t, "shop.example.com") {
		t.Errorf("an expired pair serves: %+v", st)
	}
	s.set(t, ACME{}, named("shop.example.com")...)
	if !s.local(t, "shop.example.com") {
		t.Error("a removed pair serves")
	}
}
