package web

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/berthd/berth/verbs"
)

const goldenOpenAPI = "testdata/openapi.json"

// The description is kept, so that a change of the API is seen where it is
// made. BERTH_TEST_UPDATE=1 writes it anew.
func TestOpenAPI_IsTheOneThatIsKept(t *testing.T) {
	got, err := OpenAPI("0")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	if os.Getenv("BERTH_TEST_UPDATE") != "" {
		if err := os.WriteFile(goldenOpenAPI, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(goldenOpenAPI)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the API is not what %s says; if that is meant: BERTH_TEST_UPDATE=1 go test ./web -run OpenAPI", goldenOpenAPI)
	}
}

func TestOpenAPI_HasEveryVerbAndNoReferenceToNothing(t *testing.T) {
	h := newHouse(t)
	w := post(t, h, "GET", "/api/v1/openapi.json", "", nil)
	if w.Code != 200 {
		t.Fatalf("got %d %s", w.Code, w.Body)
	}
	text := w.Body.String()
	var described struct {
		Paths      map[string]map[string]any
		Components struct{ Schemas map[string]any }
	}
	if err := json.Unmarshal([]byte(text), &described); err != nil {
		t.Fatal(err)
	}
	for _, v := range verbs.All() {
		methods := described.Paths["/"+v.Name]
		if _, get := methods["get"]; get != (v.Reads || v.Attached) {
			t.Errorf("%s: a GET is described: %v", v.Name, get)
		}
	}
	for part := range strings.SplitSeq(text, `"#/components/schemas/`) {
		if name, _, ok := strings.Cut(part, `"`); ok && !strings.ContainsAny(name, "{ \n") && described.Components.Schemas[name] == nil {
			t.Errorf("nothing is called %s", name)
		}
	}
	if described.Components.Schemas["AppStatus"] == nil || described.Components.Schemas["CloneArgs"] == nil {
		t.Errorf("the schemas are %d", len(described.Components.Schemas))
	}
}
