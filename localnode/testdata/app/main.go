// Command app is what the tests' pods run: one static program that plays every part.
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) < 2 {
		pause()
		return
	}
	switch os.Args[1] {
	case "serve":
		serve()
	case "get":
		get(os.Args[2])
	case "lookup":
		addrs, err := net.LookupHost(os.Args[2])
		fmt.Println(addrs, err)
	case "cat":
		b, err := os.ReadFile(os.Args[2])
		fmt.Print(string(b))
		exitOn(err)
	case "env":
		fmt.Println(os.Getenv(os.Args[2]))
	case "link":
		exitOn(os.Symlink(os.Args[2], os.Args[3]))
	case "flood":
		flood(os.Args[2])
	case "exit":
		var code int
		_, _ = fmt.Sscan(os.Args[2], &code)
		fmt.Println("exiting as told")
		os.Exit(code)
	}
}

// flood writes as many lines of a kilobyte, and then waits to be ended.
func flood(lines string) {
	var n int
	_, err := fmt.Sscan(lines, &n)
	exitOn(err)
	line := append(bytes.Repeat([]byte("x"), 1023), '\n')
	w := bufio.NewWriterSize(os.Stdout, 1<<20)
	for range n {
		_, err := w.Write(line)
		exitOn(err)
	}
	exitOn(w.Flush())
	fmt.Println("the end")
	pause()
}

func pause() {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTERM, syscall.SIGINT)
	<-c
}

// serve answers its name on :80; it is ready while it is not told otherwise.
func serve() {
	var ready atomic.Bool
	ready.Store(os.Getenv("UNREADY") == "")
	name, _ := os.Hostname()
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, name) })
	http.HandleFunc("/ready", func(w http.ResponseWriter, r *http.Request) {
		if !ready.Load() {
			http.Error(w, "not yet", http.StatusServiceUnavailable)
		}
	})
	http.HandleFunc("/set", func(w http.ResponseWriter, r *http.Request) { ready.Store(r.FormValue("ready") == "true") })
	http.HandleFunc("/crash", func(w http.ResponseWriter, r *http.Request) {
		fmt.Println("crashing as told")
		os.Exit(7)
	})
	fmt.Println("serving as", name)
	go func() {
		pause()
		fmt.Println("terminated")
		os.Exit(0)
	}()
	exitOn(http.ListenAndServe(":80", nil))
}

func get(url string) {
	client := &http.Client{Timeout: 3 * time.Second}
	resp, err := client.Get(url)
	exitOn(err)
	defer resp.Body.Close()
	_, err = io.Copy(os.Stdout, resp.Body)
	exitOn(err)
	if resp.StatusCode != http.StatusOK {
		os.Exit(2)
	}
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
