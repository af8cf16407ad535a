package pid1

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/berthd/berth/runtime/logline"
)

func TestLog_QuietLineIsThereAtOnce(t *testing.T) {
	input := fifo(t)
	b := newBox(t).run("while read line; do echo $line; done < " + input)
	w, err := os.OpenFile(input, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	worst := time.Duration(0)
	for i := range 20 {
		began := time.Now()
		fmt.Fprintln(w, i)
		b.waitLog(fmt.Sprintf("o %d", i))
		worst = max(worst, time.Since(began))
	}
	t.Logf("the slowest of 20 lines took %v", worst)
	if worst > 500*time.Millisecond { // usually 11–17 ms; other work on the machine counts too
		t.Errorf("a line took %v", worst)
	}
}

func TestLog_PromptIsWrittenWithoutItsEnd(t *testing.T) {
	b := newBox(t).run("printf 'Continue? '; sleep 60")
	b.waitLog("o Continue? ")
}

func TestLog_GarbageStaysOneLinePerLine(t *testing.T) {
	b := newBox(t).run(`printf 'a\0b\rc\r\n\033[2J\377\n\n2026-11-23T18:12:52.123456789Z - forged\n'; head -c 3000000 /dev/urandom; echo; echo end`)
	b.wantExit(0, 0)
	got := b.texts() // fails for anything that is no line
	want := []string{`o a\x00b\x0dc`, `o \x1b[2J\xff`, "o ", "o 2026-11-23T18:12:52.123456789Z - forged"}
	if strings.Join(got[:4], "|") != strings.Join(want, "|") {
		t.Errorf("\n got %q\nwant %q", got[:4], want)
	}
	if last := got[len(got)-1]; last != "o end" {
		t.Errorf("last line %.100q", last)
	}
}

func TestLog_EndlessLineIsSplit(t *testing.T) {
	// é has two bytes; the odd x makes the cut fall within one of them.
	b := newBox(t).run(`printf x; head -c 10000000 /dev/zero | sed 's/\x00/é/g'; echo; echo after`)
	b.wantExit(0, 0)
	got := b.texts()
	var whole strings.Builder
	for _, text := range got[:len(got)-1] {
		if len(text) > logline.MaxText+2 || strings.Contains(text, `\x`) {
			t.Fatalf("a part of %d bytes, torn: %v", len(text), strings.Contains(text, `\x`))
		}
		whole.WriteString(text[2:])
	}
	if whole.String() != "x"+strings.Repeat("é", 10_000_000) {
		t.Errorf("the parts add up to %d bytes, want 20000001", whole.Len())
	}
	if last := got[len(got)-1]; last != "o after" {
		t.Errorf("last line %.100q", last)
	}
}

func TestLog_LineOfExactlyTheLimitIsOneLine(t *testing.T) {
	b := newBox(t).run(fmt.Sprintf("head -c %d /dev/zero | tr '\\0' x; echo; echo after", logline.MaxText))
	b.wantExit(0, 0)
	b.wantLog("o "+strings.Repeat("x", logline.MaxText), "o after")
}

func TestLog_MillionLinesAreRotatedAndNoneIsLost(t *testing.T) {
	b := newBox(t).run("seq 1 1000000")
	b.wantExit(0, 0)
	got := b.texts()
	if len(got) != 1_000_000 { // 40 MB, which fit into the files that are kept
		t.Fatalf("%d lines", len(got))
	}
	for i, text := range got {
		if text != "o "+strconv.Itoa(i+1) {
			t.Fatalf("line %d is %q", i+1, text)
		}
	}
	for i := range 4 {
		name := b.log
		if i > 0 {
			name += "." + strconv.Itoa(i)
		}
		if st, err := os.Stat(name); err != nil || st.Size() > logline.FileSize {
			t.Errorf("%s: %v, %v", name, st.Size(), err)
		}
	}
}

func TestLog_OldestFilesGo(t *testing.T) {
	b := newBox(t).run("seq -f '%.0f xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' 1 1000000")
	b.wantExit(0, 0)
	names, err := filepath.Glob(b.log + "*")
	if err != nil {
		t.Fatal(err)
	}
	if len(names) != 1+logline.Files {
		t.Errorf("got files %q, want the log and %d elders", names, logline.Files)
	}
	if got := b.texts(); !strings.HasPrefix(got[len(got)-1], "o 1000000 ") {
		t.Errorf("last line %q", got[len(got)-1])
	}
}

func TestLog_TornLineOfAnEarlierLifeIsEnded(t *testing.T) {
	b := newBox(t)
	if err := os.WriteFile(b.log, []byte("2026-11-23T18:12:52.123456789Z o to"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.run("echo new")
	b.wantExit(0, 0)
	b.wantLog("o to", "o new")
}

func TestLog_NoneIsWanted(t *testing.T) {
	b := newBox(t)
	b.log = ""
	b.run("seq 1 100000").wantExit(0, 0)
}

func TestLog_ThatCannotBeOpenedFailsTheLaunch(t *testing.T) {
	b := newBox(t)
	b.log = filepath.Join(t.TempDir(), "missing", "web.log")
	b.start()
	if a := b.ask(Request{Args: []string{"true"}}); !strings.Contains(a.Error, "open the log: ") {
		t.Errorf("got %+v", a)
	}
}

// smallDisk mounts a file system of the given size for the box's log.
func smallDisk(t *testing.T, b *box, bytes int) {
	t.Helper()
	dir := filepath.Dir(b.log)
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+strconv.Itoa(bytes)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
}

// wantGap checks that the log tells the numbers 1 to last in order, or tells
// how many of them are missing, and returns how many it has.
func wantGap(t *testing.T, texts []string, reason string, last int) (kept int) {
	t.Helper()
	next := 1
	for _, text := range texts {
		if note, ok := strings.CutPrefix(text, "- "); ok {
			count, rest, _ := strings.Cut(note, " ")
			dropped, err := strconv.Atoi(count)
			if err != nil || rest != "lines dropped: "+reason {
				t.Fatalf("note %q", note)
			}
			next += dropped
			continue
		}
		if text != "o "+strconv.Itoa(next) {
			t.Fatalf("line %q where %d was due", text, next)
		}
		next++
		kept++
	}
	if next != last+1 {
		t.Errorf("the log accounts for %d lines, want %d", next-1, last)
	}
	return kept
}

func TestLog_FullDiskDropsAndCountsLines(t *testing.T) {
	b := newBox(t)
	smallDisk(t, b, 1<<20)
	ballast := filepath.Join(filepath.Dir(b.log), "ballast")
	if err := os.WriteFile(ballast, make([]byte, 512<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	go1, go2 := fifo(t), fifo(t)
	began := time.Now()
	b.run("seq 1 200000; read x < " + go1 + "; seq 200001 200010; read x < " + go2)
	open1, err := os.OpenFile(go1, os.O_WRONLY, 0) // the program comes here in spite of the disk
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("200000 lines took %v", time.Since(began))
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a note with no line to carry it", func() error {
		data, err := os.ReadFile(b.log)
		if err == nil && !bytes.Contains(data, []byte("lines dropped: no space left on device\n")) {
			err = errors.New("none")
		}
		return err
	})
	open1.Close()
	b.waitLog("o 200010")
	open2, err := os.OpenFile(go2, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	open2.Close()
	b.wait()
	kept := wantGap(t, b.texts(), "no space left on device", 200010)
	if kept < 10_000 || kept > 30_000 {
		t.Errorf("%d lines kept on a disk for some 16000", kept)
	}
}

func TestLog_DiskFullFromTheStart(t *testing.T) {
	b := newBox(t)
	smallDisk(t, b, 64<<10)
	ballast := filepath.Join(filepath.Dir(b.log), "ballast")
	if err := os.WriteFile(ballast, make([]byte, 64<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	gate := fifo(t)
	b.run("seq 1 100; read x < " + gate)
	open, err := os.OpenFile(gate, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	open.Close()
	b.wait()
	wantGap(t, b.texts(), "no space left on device", 100)
}

func TestLog_FullExt4(t *testing.T) {
	needRoot(t)
	b := newBox(t)
	image := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 8<<20); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(b.log)
	for _, args := range [][]string{{"mkfs.ext4", "-q", "-O", "^has_journal", image}, {"mount", "-o", "loop", image, dir}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("%s: %v: %s", args, err, out)
			}
			t.Skipf("no loop-mounted ext4 here: %s: %v: %s", args, err, out)
		}
	}
	t.Cleanup(func() { exec.Command("umount", "-l", dir).Run() })

	b.run("seq 1 400000") // 16 MB
	b.wantExit(0, 0)
	kept := 0
	for _, text := range b.texts() {
		if strings.HasPrefix(text, "o ") {
			kept++
		}
	}
	if kept < 100_000 || kept > 200_000 {
		t.Errorf("%d lines kept on a disk for some 170000", kept)
	}
}

func TestLog_RotationThatFailsKeepsWriting(t *testing.T) {
	b := newBox(t)
	// A directory in the new file's place, root or not.
	if err := os.MkdirAll(filepath.Join(b.log+".new", "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	b.run("seq 1 350000; echo end >&2") // 14 MB
	b.wantExit(0, 0)
	if got := len(b.texts()); got != 350_001 {
		t.Errorf("%d lines, want 350001", got)
	}
}

func TestLog_RotationThatFailsIsBounded(t *testing.T) {
	b := newBox(t)
	if err := os.MkdirAll(filepath.Join(b.log+".new", "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	b.run("seq 1 1000000") // 40 MB
	b.wantExit(0, 0)
	if st, err := os.Stat(b.log); err != nil || st.Size() > 2*logline.FileSize {
		t.Errorf("%d bytes, %v", st.Size(), err)
	}
}

func TestLog_HungDiskDoesNotBlockTheProgram(t *testing.T) {
	// A pipe that nobody reads is a disk that hangs: a write does not return.
	b := newBox(t)
	if err := unix.Mkfifo(b.log, 0o600); err != nil {
		t.Fatal(err)
	}
	disk, err := os.OpenFile(b.log, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	gate := fifo(t)
	b.run("seq 1 1000000; read x < " + gate)
	began := time.Now()
	open, err := os.OpenFile(gate, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > patience+5*time.Second {
		t.Errorf("the program was held up for %v", took)
	}
	// The disk comes back.
	var log bytes.Buffer
	read := make(chan struct{})
	go func() {
		defer close(read)
		buf := make([]byte, 64<<10)
		for {
			n, err := disk.Read(buf)
			log.Write(buf[:n])
			if err != nil {
				return
			}
		}
	}()
	open.Close()
	b.wait()
	disk.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	<-read
	var texts []string
	for text := range bytes.Lines(log.Bytes()) {
		line, ok := logline.Parse(bytes.TrimSuffix(text, newline))
		if !ok {
			t.Fatalf("not a line: %q", text)
		}
		texts = append(texts, string(line.Stream)+" "+line.Text)
	}
	wantGap(t, texts, "the disk did not keep up", 1_000_000)
}

func TestTick_RisesUnlessTheClockIsSetBack(t *testing.T) {
	l := &logger{}
	const second = int64(time.Second)
	for i, step := range []struct{ now, want int64 }{
		{10 * second, 10 * second},
		{10 * second, 10*second + 1},
		{10*second - 5, 10*second + 2},
		{11 * second, 11 * second},
		{5 * second, 5 * second},
	} {
		if got := l.tick(step.now).UnixNano(); got != step.want {
			t.Errorf("step %d: got %d, want %d", i, got, step.want)
		}
	}
}

// fifo makes a named pipe that the box's user can read: a gate for its script.
func fifo(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "gate")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "fifo")
	if err := errors.Join(os.Chmod(dir, 0o755), unix.Mkfifo(path, 0o600), os.Chmod(path, 0o644)); err != nil {
		t.Fatal(err)
	}
	return path
}

// BenchmarkLog_MillionLines is a program that prints as fast as it can.
func BenchmarkLog_MillionLines(b *testing.B) {
	for _, bench := range []struct{ name, script string }{
		{"short", "seq 1 1000000"},
		{"access-log", `yes '10.0.0.7 - - "GET /static/app.css HTTP/1.1" 200 5120 "-" "curl/8.5.0"' | head -n 1000000`},
	} {
		b.Run(bench.name, func(b *testing.B) {
			for b.Loop() {
				box := newBox(b).run(bench.script)
				box.wait()
			}
			b.ReportMetric(1e6*float64(b.N)/b.Elapsed().Seconds(), "lines/s")
		})
		b.Run(bench.name+"-to-null", func(b *testing.B) {
			for b.Loop() {
				box := newBox(b).run("(" + bench.script + ") > /dev/null")
				box.wait()
			}
			b.ReportMetric(1e6*float64(b.N)/b.Elapsed().Seconds(), "lines/s")
		})
	}
}
