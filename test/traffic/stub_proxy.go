package traffic

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"net/http"
	"strings"
)

// signature begins the header of version 2 of the PROXY protocol.
const signature = "\r\n\r\n\x00\r\nQUIT\n"

// proxied takes the header of the PROXY protocol off a connection, if it begins with one, and gives its version.
func proxied(in *bufio.Reader) (string, error) {
	start, err := in.Peek(1)
	if err != nil || start[0] != 'P' && start[0] != signature[0] {
		return "", nil // whoever reads on will see the error
	}
	if start, err = in.Peek(6); err != nil {
		return "", nil
	}
	switch {
	case string(start) == "PROXY ":
		line, err := in.ReadString('\n')
		if err == nil && !strings.HasPrefix(line, "PROXY TCP") {
			err = fmt.Errorf("the header of the PROXY protocol is %q", line)
		}
		return "v1", err
	case string(start) == signature[:6]:
		head, err := in.Peek(16) // signature, version and command, family, length
		if err != nil || string(head[:12]) != signature || head[12] != 0x21 {
			return "", fmt.Errorf("the header of the PROXY protocol is %q: %w", head, err)
		}
		_, err = in.Discard(16 + int(binary.BigEndian.Uint16(head[14:])))
		return "v2", err
	}
	return "", nil
}

// tunnelled answers CONNECT, after which the bytes of the tunnel follow; false where that fails.
func (s *stub) tunnelled(c *connection) bool {
	r, err := http.ReadRequest(c.in)
	if err != nil {
		return false
	}
	c.seen.Tunnel = r.Host
	_, err = fmt.Fprint(c, "HTTP/1.1 200 OK\r\n\r\n")
	return err == nil
}
