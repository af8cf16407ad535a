package deploy

import (
	"slices"
	"testing"

	"github.com/berthd/berth/store"
)

func TestKeep_LiveAndTheLastThatServed(t *testing.T) {
	status := []store.ReleaseStatus{ // of v9, v8, … v1
		store.ReleasePending, store.ReleaseFailed, store.ReleaseRetired, store.ReleaseLive,
		store.ReleaseRetired, store.ReleaseFailed, store.ReleaseRetired, store.ReleaseRetired, store.ReleaseRetired,
	}
	var releases []store.Release
	for n, s := range status {
		releases = append(releases, store.Release{Number: 9 - n, Status: s})
	}
	var got []int
	for _, r := range keep(store.App{Release: 6}, releases) {
		got = append(got, r.Number)
	}
	if want := []int{9, 7, 6, 5, 3, 2}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
