package deploy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/berthd/berth/deploy/logs"
	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/runtime/logline"
	"github.com/berthd/berth/store/fault"
)

func TestPhaseLog_IsReadAsTheOthersAre(t *testing.T) {
	d := newDeployer(t)
	log, err := d.phases.openLog(shopID, 3, phasePredeploy)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 100 {
		fmt.Fprintf(log, "line %d \x1b[2J\n", n)
	}
	log.file.Close()
	var lines []logs.LogLine
	shop(t, d)
	if err := d.logs.Logs(t.Context(), logs.Query{App: "shop", Process: "predeploy", Lines: -1}, func(l logs.LogLine) error {
		lines = append(lines, l)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(lines) != 100 || lines[99].Text != `line 99 \x1b[2J` || lines[99].Source != "predeploy" || lines[99].Release != 3 {
		t.Fatalf("got %d lines, the last %+v", len(lines), lines[len(lines)-1])
	}
	for n := range lines[1:] {
		if !lines[n+1].Time.After(lines[n].Time) {
			t.Fatalf("line %d is not later than the one before", n+1)
		}
	}
}

func TestPhaseLog_EndsAtItsBound(t *testing.T) {
	d := newDeployer(t)
	log, err := d.phases.openLog(shopID, 1, phasePredeploy)
	if err != nil {
		t.Fatal(err)
	}
	defer log.file.Close()
	line := []byte(strings.Repeat("y", 16<<10) + "\n")
	for range 2 * logline.FileSize / len(line) {
		if n, err := log.Write(line); n != len(line) || err != nil {
			t.Fatalf("got %d, %v", n, err)
		}
	}
	if info, err := log.file.Stat(); err != nil || info.Size() > logline.FileSize+2*int64(len(line)) {
		t.Errorf("got %d bytes, %v", info.Size(), err)
	}
}

func TestPhaseFault_NamesCommandExitAndLastLines(t *testing.T) {
	f := fault.From(phaseFault(newDeployer(t).sshCommand(), "shop", "E262", "release", "./migrate\n  --all", fleet.Exit{Code: 127}, []string{"bash: ./migrate: not found"}))
	got := strings.Join(f.Lines(0), "\n")
	want := "error: release failed: exit code 127 [E262]\n       it ran: ./migrate --all\n       | bash: ./migrate: not found\n" +
		"hint:  the command was not found: is its package among the app's dependencies?"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
