package images_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/berthd/berth/runtime/images"
)

// BenchmarkBuild measures a Dockerfile of three steps: with nothing made
// before, with one file changed, and with everything made.
func BenchmarkBuild(b *testing.B) {
	e, stack := open(b)
	maker := images.New(e, logger())
	built := func(b *testing.B, owner, file string) {
		dir := project(b, "Dockerfile", "FROM berth.local/stack\nRUN echo tools > /tools\nCOPY file /file\nRUN cat /file > /copy\n", "file", file)
		if _, err := maker.Build(b.Context(), images.BuildSpec{Context: dir, Owner: owner, Bases: map[string]string{baseName: stack}}, nil); err != nil {
			b.Fatal(err)
		}
	}
	forget := func(b *testing.B, owner string) {
		if err := maker.RemoveCache(context.Background(), owner); err != nil {
			b.Error(err)
		}
	}
	b.Run("nothing made", func(b *testing.B) {
		for n := 0; b.Loop(); n++ {
			built(b, "bench", fmt.Sprint(n))
			b.StopTimer()
			forget(b, "bench")
			b.StartTimer()
		}
	})
	b.Run("a file changed", func(b *testing.B) {
		built(b, "bench", "")
		for n := 0; b.Loop(); n++ {
			built(b, "bench", fmt.Sprint(n))
		}
		forget(b, "bench")
	})
	b.Run("everything made", func(b *testing.B) {
		built(b, "bench", "")
		for b.Loop() {
			built(b, "bench", "")
		}
		forget(b, "bench")
	})
}
