package progress

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/berthd/berth/store/fault"
)

func TestSecretsOf(t *testing.T) {
	for _, row := range []struct {
		name, value string
		want        []string
	}{
		{"SECRET_KEY", "hunter22", []string{"hunter22"}},
		{"API_KEY", "abcdef123", []string{"abcdef123"}},
		{"APIKEY", "abcdef123", nil}, // one word that ends like many others: MONKEY
		{"AWS_SECRET_ACCESS_KEY", "abcdef123", []string{"abcdef123"}},
		{"api_token_2", "abcdef123", []string{"abcdef123"}},
		{"DB_PASS", "correcthorse", []string{"correcthorse"}},
		{"DBPASSWORD", "correcthorse", []string{"correcthorse"}},
		{"SMTP_PASSWORD", "short", nil},
		{"BASIC_AUTH", "alice:secret99", []string{"alice:secret99"}},
		{"AUTHOR", "alice liddell", nil},
		{"COMPASS_URL", "https://compass.example", nil},
		{"KEYBOARD", "qwertyuiop", nil},
		{"NODE_ENV", "production", nil},
		{"DATABASE_URL", "postgres://shop:p%40ssword@db:5432/shop", []string{"postgres://shop:p%40ssword@db:5432/shop", "p%40ssword", "p@ssword"}},
		{"INDEX", "https://alice@packages.example/simple", nil}, // no password
		{"HOME_PAGE", "https://example.com/?a:b@c", nil},
		{"TLS_PRIVATE_KEY", "-----BEGIN KEY-----\nMIIEowIBAAKC\n-----END KEY-----\n", []string{"-----BEGIN KEY-----", "-----END KEY-----", "MIIEowIBAAKC"}},
		{"SECRET", "", nil},
		{"SECRET", "      \n", nil},
	} {
		if got := secretsOf(map[string]string{row.name: row.value}); !slices.Equal(got, row.want) {
			t.Errorf("%s=%q: got %q, want %q", row.name, row.value, got, row.want)
		}
	}
}

func TestReport_ConcealsSecretsInWhatCommandsPrint(t *testing.T) {
	var out strings.Builder
	r := New(&out)
	r.Conceal(map[string]string{"SECRET_KEY": "hunter22", "SESSION_SECRET": "hunter22-and-more", "COLOR": "bluish"})
	fmt.Fprint(r, "key hunt")
	fmt.Fprint(r, "er22, hunter22-and-more, bluish\n")
	r.Detail("hunter22 is the app's name")
	r.Fail(fault.New(fault.Failed, "E234", "it does not build").With("| KeyError: hunter22"), nil, "")
	want := `       key [secret], [secret], bluish
       hunter22 is the app's name

error: it does not build [E234]
       | KeyError: [secret]
`
	if out.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", out.String(), want)
	}
	r.Conceal(nil)
}
