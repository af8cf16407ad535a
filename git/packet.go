package git

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// maxPacket is the most that a packet may hold, its length included.
const maxPacket = 65520

// packetSize reads the length that a packet begins with; 0 is a flush. ok is
// false when there are less than four bytes, or they are no length.
func packetSize(head []byte) (size int, ok bool) {
	if len(head) < 4 {
		return 0, false
	}
	n, err := strconv.ParseUint(string(head[:4]), 16, 16)
	return int(n), err == nil && (n == 0 || n >= 4) && n <= maxPacket
}

// readPacket reads one packet (gitprotocol-common, pkt-line) without its
// newline. flush is the packet that ends a list.
func readPacket(r *bufio.Reader) (line string, flush bool, err error) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(r, head); err != nil {
		return "", false, err
	}
	size, ok := packetSize(head)
	if !ok {
		return "", false, fmt.Errorf("%q is no length of a packet", head)
	}
	if size == 0 {
		return "", true, nil
	}
	text := make([]byte, size-4)
	if _, err := io.ReadFull(r, text); err != nil {
		return "", false, err
	}
	return strings.TrimSuffix(string(text), "\n"), false, nil
}

// writePackets writes a packet for each line, and a flush.
func writePackets(w io.Writer, lines ...string) error {
	var b bytes.Buffer
	for _, line := range lines {
		fmt.Fprintf(&b, "%04x%s\n", len(line)+5, line)
	}
	b.WriteString("0000")
	_, err := w.Write(b.Bytes())
	return err
}
