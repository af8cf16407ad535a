package dockerfile

import (
	"strings"
	"testing"

	"github.com/berthd/berth/buildpacks/packtest"
)

func TestPlan_NamesTheImageThatTheLastStageBeginsWith(t *testing.T) {
	for text, want := range map[string]string{
		"FROM golang:1.26 AS build\nRUN go build\n# a comment\nFROM scratch\nCOPY --from=build /x /x\n": "Dockerfile (FROM scratch)",
		"ARG V=3\nfrom --platform=linux/amd64 python:${V}-slim\r\nRUN <<EOF\nFROM nothing\nEOF\n":       "Dockerfile (FROM python:${V}-slim)",
	} {
		p := packtest.Plan(t, Plan, packtest.Repo("Dockerfile", text))
		if p.Summary != want || !p.Sealed || p.Dockerfile != "Dockerfile" || len(p.Layers) > 0 {
			t.Errorf("%q: got %q, sealed %t, %d layers; want %q", text, p.Summary, p.Sealed, len(p.Layers), want)
		}
	}
}

func TestPlan_AHealthcheckOfTheLastStageIsNoted(t *testing.T) {
	for text, want := range map[string]bool{
		"FROM a\nHEALTHCHECK --interval=5s CMD curl -f http://localhost/\n": true,
		"FROM a\nHEALTHCHECK NONE\n":                                        false,
		"FROM a AS b\nHEALTHCHECK CMD x\nFROM c\n":                          false,
		"FROM a\n# HEALTHCHECK CMD x\n":                                     false,
	} {
		p := packtest.Plan(t, Plan, packtest.Repo("Dockerfile", text))
		if got := strings.Contains(strings.Join(p.Notes, "\n"), "HEALTHCHECK is ignored"); got != want {
			t.Errorf("%q: notes %q", text, p.Notes)
		}
	}
}

func TestPlan_WhatIsNoDockerfile(t *testing.T) {
	for text, want := range map[string]string{
		"":                             "no instructions",
		"# nothing\n":                  "line 1",
		"RUN true\n":                   "no FROM",
		"FROM a\nRUN <<EOF\nno end\n":  "EOF",
		"FROM a\n# syntax\nENV \\\n\n": "",
	} {
		if want == "" {
			packtest.Plan(t, Plan, packtest.Repo("Dockerfile", text))
			continue
		}
		if p, all := packtest.Problem(t, Plan, packtest.Repo("Dockerfile", text)); p.Code != "E235" || !strings.Contains(all, want) {
			t.Errorf("%q: got %s %q, want %q in it", text, p.Code, all, want)
		}
	}
}

func FuzzDockerfile(f *testing.F) {
	f.Add("FROM a AS b\nRUN <<EOF\nx\nEOF\n")
	f.Add("# escape=`\nFROM a`\n:b\n")
	f.Fuzz(func(t *testing.T, text string) {
		if base, _, err := lastStage(text); err == nil && base == "" {
			t.Error("a file without FROM was let through")
		}
	})
}
