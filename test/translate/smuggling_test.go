package translate

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// webYAML is Services and a Gateway of port 80.
const webYAML = servicesYAML + `
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: web, namespace: istio-system}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
`

// A gateway and the server behind it agree where a request ends: what is hidden in one is never taken for
// another. Each form is either refused or passed on as one request, without what was ambiguous in it.
func TestGatewayLetsNoHiddenRequestPass(t *testing.T) {
	res := translate(t, webYAML+`
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: default}
spec:
  hosts: ["*"]
  gateways: [istio-system/web]
  http:
  - match: [{uri: {prefix: /public}}]
    route: [{destination: {host: reviews}}]
`, ingress)
	s := serve(t, res, place{listener: "0.0.0.0_80"})
	const hidden = "GET /admin HTTP/1.1\r\nHost: a\r\n\r\n"
	forms := map[string]string{
		"nothing hidden":             "GET /public HTTP/1.1\r\nHost: a\r\n\r\n",
		"length and chunks":          "POST /public HTTP/1.1\r\nHost: a\r\nContent-Length: 37\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
		"chunks and length":          "POST /public HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + hidden,
		"two lengths":                "POST /public HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 32\r\n\r\n" + hidden,
		"a list of lengths":          "POST /public HTTP/1.1\r\nHost: a\r\nContent-Length: 0, 32\r\n\r\n" + hidden,
		"a length with a sign":       "POST /public HTTP/1.1\r\nHost: a\r\nContent-Length: +32\r\n\r\n" + hidden,
		"a length in hex":            "POST /public HTTP/1.1\r\nHost: a\r\nContent-Length: 0x20\r\n\r\n" + hidden,
		"chunks, misspelt":           "POST /public HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\nContent-Length: 32\r\n\r\n" + hidden,
		"chunks behind a blank":      "POST /public HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\nContent-Length: 32\r\n\r\n" + hidden,
		"chunks behind a tab":        "POST /public HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\x0bchunked\r\nContent-Length: 32\r\n\r\n" + hidden,
		"chunks twice":               "POST /public HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\nContent-Length: 32\r\n\r\n" + hidden,
		"chunks in HTTP/1.0":         "POST /public HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 32\r\n\r\n" + hidden,
		"chunks on a folded line":    "POST /public HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\nContent-Length: 32\r\n\r\n" + hidden,
		"a chunk without its length": "POST /public HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" + hidden,
		"a chunk's length overflows": "POST /public HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n" + hidden,
		"a blank in a name":          "POST /public HTTP/1.1\r\nHost: a\r\nContent Length: 32\r\nContent-Length: 32\r\n\r\n" + hidden,
		"a zero byte in a value":     "POST /public HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\nContent-Length: 32\r\n\r\n" + hidden,
		"a line's end in a value":    "GET /public HTTP/1.1\r\nHost: a\r\nX: a\rGET /admin HTTP/1.1\rHost: a\r\n\r\n",
		"a line's end in the path":   "GET /public\rGET /admin HTTP/1.1\r\nHost: a\r\n\r\n",
		"the path leaves its prefix": "GET /public/../../admin HTTP/1.1\r\nHost: a\r\n\r\n",
		"the same, with escapes":     "GET /public/%2e%2e/%2e%2e/admin HTTP/1.1\r\nHost: a\r\n\r\n",
		"an absolute path":           "GET http://a/admin HTTP/1.1\r\nHost: a\r\n\r\n",
		"a path with authority":      "GET /public HTTP/1.1\r\nHost: a/admin\r\n\r\n",
	}
	names := slices.Sorted(maps.Keys(forms))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() { // at the same time, since Envoy takes a second to close a connection
			if err := exchange(s.addr, strings.ReplaceAll(forms[name], "/public", fmt.Sprintf("/public/%d", i))); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	wg.Wait()
	passed := map[string]int{}
	for len(s.requests) > 0 {
		a := <-s.requests
		i, err := strconv.Atoi(strings.TrimPrefix(a.Path, "/public/"))
		if err != nil {
			t.Errorf("a server saw %s", a.Path)
			continue
		}
		passed[names[i]]++
	}
	if passed["nothing hidden"] != 1 {
		t.Error("a request with nothing hidden does not pass")
	}
	for name, n := range passed {
		if n > 1 {
			t.Errorf("%s: a server saw %d requests", name, n)
		}
	}
}

// exchange writes bytes, and a last request, and reads what is answered until Envoy ends the connection.
func exchange(address, text string) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, text+"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
		return errors.New("the connection stays open")
	}
	return nil
}
