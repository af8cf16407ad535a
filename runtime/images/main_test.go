package images_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/berthd/berth/runtime/enginetest"
	"github.com/berthd/berth/runtime/pid1"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("BERTH_TEST_BUILDS"); dir != "" && !pid1.Invoked() {
		fmt.Fprintln(os.Stderr, buildUntilKilled(dir, os.Getenv("BERTH_TEST_CONTEXT")))
		os.Exit(1)
	}
	os.Exit(enginetest.Main(m))
}

var (
	shared         = &enginetest.Shared
	open           = enginetest.Open
	needContainerd = enginetest.NeedContainerd
	logger         = enginetest.Logger
	create         = enginetest.Create
	sh             = enginetest.Sh
	launch         = enginetest.Launch
	ended          = enginetest.Ended
	output         = enginetest.Output
	killContainerd = enginetest.KillContainerd
	nothingLeft    = enginetest.NothingLeft
)
