package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

// usage tells the two small things that the program can do from inside a pod.
const usage = `bookinfo get URL [HEADER:VALUE ...]   status and body of one request
bookinfo lookup NAME                  addresses of a name`

// client runs what `pilotctl exec POD -- bookinfo get URL` asks for; the images have no shell.
func client(ctx context.Context, args []string, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	switch {
	case slices.ContainsFunc(args[1:], func(a string) bool { return a == "-h" || a == "--help" }):
		_, err := fmt.Fprintln(out, usage)
		return err
	case args[0] == "get" && len(args) >= 2:
		return fetch(ctx, args[1], args[2:], out)
	case args[0] == "lookup" && len(args) == 2:
		addrs, err := net.DefaultResolver.LookupHost(ctx, args[1])
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(out, strings.Join(addrs, " "))
		return err
	}
	return fmt.Errorf("usage:\n%s", usage)
}

func fetch(ctx context.Context, url string, headers []string, out io.Writer) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	for _, h := range headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok {
			return fmt.Errorf("%q is no header: write HEADER:VALUE", h)
		}
		if strings.EqualFold(name, "host") {
			req.Host = value
			continue
		}
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := fmt.Fprintln(out, resp.StatusCode); err != nil {
		return err
	}
	_, err = io.Copy(out, resp.Body)
	return err
}
