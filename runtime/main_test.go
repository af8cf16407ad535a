package runtime_test

import (
	"os"
	"testing"

	"github.com/berthd/berth/runtime/enginetest"
)

func TestMain(m *testing.M) { os.Exit(enginetest.Main(m)) }

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
