package translate

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"slices"
	"testing"
)

// Whether a client is to send its body is for the server to say.
func TestEnvoyPassesExpectOn(t *testing.T) {
	s := serve(t, translate(t, servicesYAML, Proxy{}), place{listener: "0.0.0.0_9080"})
	for path, want := range map[string][]int{"/refuse": {417}, "/take": {100, 200}} {
		conn, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: reviews\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n", path)
		in := bufio.NewReader(conn)
		var got []int
		for len(got) < len(want) {
			res, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatalf("%s: after %v: %v", path, got, err)
			}
			got = append(got, res.StatusCode)
			if res.StatusCode == 100 {
				fmt.Fprint(conn, "body")
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
}
