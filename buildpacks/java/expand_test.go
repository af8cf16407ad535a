package java

import (
	"strings"
	"testing"
	"time"

	"github.com/berthd/berth/buildpacks/packtest"
)

// Each property refers to itself two hundred times: 200^8 replacements.
func TestPlan_PropertiesThatMultiplyHaveAnEnd(t *testing.T) {
	pom := `<project><artifactId>x</artifactId><properties><a>` + strings.Repeat("${a}", 200) + `</a></properties><packaging>${a}</packaging></project>`
	done := make(chan bool)
	go func() {
		packtest.Make(Plan, packtest.Request(packtest.Repo("pom.xml", pom)))
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("it has no end")
	}
}
