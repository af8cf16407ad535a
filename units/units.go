// Package units reads and shows sizes and durations, in one way for all rooms.
//
// A size is in powers of 1024, as the kernel, containerd and Kubernetes' Mi count
// memory and disk. It is shown as "512 MiB" and read as people type it: 512m,
// 512MB, 512MiB and "512 MiB" are the same.
package units

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Multiples of a byte.
const (
	KiB = 1 << (10 * (iota + 1))
	MiB
	GiB
	TiB
)

// Bytes shows a size: "512 MiB", "1.5 GiB", "300 B". ParseBytes reads it.
func Bytes(n int64) string {
	for _, unit := range []struct {
		name string
		size int64
	}{{"TiB", TiB}, {"GiB", GiB}, {"MiB", MiB}, {"KiB", KiB}} {
		switch {
		case n < unit.size:
		case n < 10*unit.size && n%unit.size != 0:
			return strings.TrimSuffix(fmt.Sprintf("%.1f", float64(n)/float64(unit.size)), ".0") + " " + unit.name
		default:
			return fmt.Sprintf("%d %s", n/unit.size, unit.name)
		}
	}
	return fmt.Sprintf("%d B", n)
}

// ErrBytes is why ParseBytes refuses a text.
var ErrBytes = errors.New("not a size such as 64k, 512m or 2g")

// ParseBytes reads a size: 64k, 100m, 2g, 1.5g, 512MB, 1GiB. alone is what a
// number without a unit counts, 1 for bytes or MiB; 0 refuses such a number.
func ParseBytes(text string, alone int64) (int64, error) {
	text = strings.ToLower(strings.TrimSpace(text))
	number := strings.TrimRight(text, "bikmgt ")
	unit, known := map[string]int64{
		"": alone, "b": 1,
		"k": KiB, "kb": KiB, "ki": KiB, "kib": KiB, "m": MiB, "mb": MiB, "mi": MiB, "mib": MiB,
		"g": GiB, "gb": GiB, "gi": GiB, "gib": GiB, "t": TiB, "tb": TiB, "ti": TiB, "tib": TiB,
	}[strings.TrimLeft(text[len(number):], " ")]
	if !known || unit == 0 || strings.Trim(number, "0123456789.") != "" {
		return 0, ErrBytes
	}
	if !strings.Contains(number, ".") {
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil || n > math.MaxInt64/unit {
			return 0, ErrBytes
		}
		return n * unit, nil
	}
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || n > float64(math.MaxInt64/2/unit) {
		return 0, ErrBytes
	}
	return int64(n * float64(unit)), nil
}

// Duration shows a limit as people say it: "15 minutes", "1 hour", "90
// seconds". Other durations than whole seconds are shown as Go does.
func Duration(d time.Duration) string {
	for _, unit := range []struct {
		name string
		time.Duration
	}{{"hour", time.Hour}, {"minute", time.Minute}, {"second", time.Second}} {
		if n := d / unit.Duration; n >= 1 && d%unit.Duration == 0 {
			if n == 1 {
				return "1 " + unit.name
			}
			return fmt.Sprintf("%d %ss", n, unit.name)
		}
	}
	return d.String()
}

// Elapsed shows a time in short: "30s", "1m", "1h30m".
func Elapsed(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
