// Package browser gives tests a real Chromium without a window, as far as tests of pages need one: it loads
// a page as a screen of some size shows it, runs expressions and presses keys in it, takes pictures, and
// notes every error that the page makes. It speaks the DevTools protocol over a pair of pipes
// (https://chromedevtools.github.io/devtools-protocol/).
package browser

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"
)

// timeout bounds one command, on a busy machine.
const timeout = time.Minute

// Browser is a running Chromium.
type Browser struct {
	t       testing.TB
	to      *os.File
	mu      sync.Mutex
	next    int
	waiting map[int]chan message
	events  func(message)
	gone    chan struct{}
}

// message is a command, an answer or an event.
type message struct {
	ID      int             `json:"id,omitempty"`
	Session string          `json:"sessionId,omitempty"`
	Method  string          `json:"method,omitempty"`
	Params  json.RawMessage `json:"params,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

// Start runs a Chromium until the test ends. A test that needs one fails where there is none.
func Start(t testing.TB) *Browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("no chromium: install Debian's package (make packages)")
	}
	in, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	from, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, path, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
		"--no-first-run", "--disable-background-networking", "--remote-debugging-pipe", "--user-data-dir="+t.TempDir())
	cmd.ExtraFiles = []*os.File{in, out} // 3 and 4
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = in.Close(), out.Close() // they are the child's
	b := &Browser{t: t, to: to, waiting: map[int]chan message{}, gone: make(chan struct{})}
	go b.read(from)
	t.Cleanup(func() {
		b.tell("", "Browser.close", nil)
		select {
		case <-b.gone:
		case <-time.After(10 * time.Second):
		}
		cancel()
		_ = cmd.Wait() // it was told to go
		<-b.gone
		_, _ = to.Close(), from.Close()
		if t.Failed() {
			t.Logf("chromium: %.3000s", log.String())
		}
	})
	return b
}

func (b *Browser) read(from *os.File) {
	defer close(b.gone)
	messages := bufio.NewReader(from)
	for {
		data, err := messages.ReadBytes(0)
		if err != nil {
			return
		}
		var m message
		if json.Unmarshal(data[:len(data)-1], &m) != nil {
			continue
		}
		b.mu.Lock()
		answer, events := b.waiting[m.ID], b.events
		delete(b.waiting, m.ID)
		b.mu.Unlock()
		if answer != nil {
			answer <- m
		} else if events != nil && m.Method != "" {
			events(m)
		}
	}
}

// tell sends a command and gives where its answer will come.
func (b *Browser) tell(session, method string, params any) chan message {
	b.t.Helper()
	data, err := json.Marshal(params)
	if err != nil {
		b.t.Fatal(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.next++
	answer := make(chan message, 1)
	b.waiting[b.next] = answer
	m, err := json.Marshal(message{ID: b.next, Session: session, Method: method, Params: data})
	if err != nil {
		b.t.Fatal(err)
	}
	_, _ = b.to.Write(append(m, 0)) // a browser that is gone answers nothing
	return answer
}

// do sends a command and takes its answer.
func (b *Browser) do(session, method string, params, result any) {
	b.t.Helper()
	select {
	case m := <-b.tell(session, method, params):
		if m.Error != nil {
			b.t.Fatalf("%s: %s", method, m.Error.Message)
		}
		if result == nil {
			return
		}
		if err := json.Unmarshal(m.Result, result); err != nil {
			b.t.Fatalf("%s: %v", method, err)
		}
	case <-b.gone:
		b.t.Fatalf("%s: chromium has ended", method)
	case <-time.After(timeout):
		b.t.Fatalf("%s: chromium does not answer", method)
	}
}

// Screen is what a page is shown on.
type Screen struct {
	Width, Height int
	Phone, Dark   bool
}

// Page is an open page.
type Page struct {
	b       *Browser
	session string
	loaded  chan struct{}

	mu     sync.Mutex
	errors []string
}

// Open shows a page, and returns when it has loaded. A browser has one page at a time.
func (b *Browser) Open(url string, s Screen) *Page {
	b.t.Helper()
	var target struct{ TargetID, SessionID string }
	b.do("", "Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	b.do("", "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &target)
	p := &Page{b: b, session: target.SessionID, loaded: make(chan struct{}, 1)}
	b.mu.Lock()
	b.events = p.event
	b.mu.Unlock()
	for _, domain := range []string{"Page", "Runtime", "Log", "Network"} {
		b.do(p.session, domain+".enable", nil, nil)
	}
	scheme := "light"
	if s.Dark {
		scheme = "dark"
	}
	b.do(p.session, "Emulation.setEmulatedMedia", map[string]any{"features": []any{map[string]string{"name": "prefers-color-scheme", "value": scheme}}}, nil)
	b.do(p.session, "Emulation.setDeviceMetricsOverride", map[string]any{"width": s.Width, "height": s.Height, "deviceScaleFactor": 1, "mobile": s.Phone}, nil)
	p.Go(url)
	return p
}

// Go shows another page.
func (p *Page) Go(url string) {
	p.b.t.Helper()
	select {
	case <-p.loaded:
	default:
	}
	var went struct{ ErrorText string }
	p.b.do(p.session, "Page.navigate", map[string]any{"url": url}, &went)
	if went.ErrorText != "" {
		p.b.t.Fatalf("%s: %s", url, went.ErrorText)
	}
	select {
	case <-p.loaded:
	case <-time.After(timeout):
		p.b.t.Fatalf("%s: not loaded", url)
	}
}

// event notes what goes wrong in the page: exceptions, what it logs as an error (violations of its policy are
// among that), and what it could not load.
func (p *Page) event(m message) {
	switch m.Method {
	case "Page.loadEventFired":
		select {
		case p.loaded <- struct{}{}:
		default:
		}
	case "Runtime.exceptionThrown":
		p.note("exception: %s", m.Params)
	case "Runtime.consoleAPICalled", "Log.entryAdded":
		var e struct {
			Type  string
			Entry struct{ Level string }
		}
		_ = json.Unmarshal(m.Params, &e) // what does not parse is no error of the page
		if e.Type == "error" || e.Type == "warning" || e.Entry.Level == "error" || e.Entry.Level == "warning" {
			p.note("console: %s", m.Params)
		}
	case "Network.requestWillBeSent":
		var r struct{ Request struct{ URL string } }
		_ = json.Unmarshal(m.Params, &r)
		p.b.t.Logf("loads %s", r.Request.URL)
	case "Page.javascriptDialogOpening":
		p.note("dialog: %s", m.Params)
	}
}

func (p *Page) note(format string, params json.RawMessage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.errors = append(p.errors, fmt.Sprintf(format, params))
}

// Errors gives what went wrong in the page so far.
func (p *Page) Errors() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.errors...)
}

// Eval runs an expression, waits for its promise, and gives its value as JSON writes it.
func (p *Page) Eval(expression string, value any) {
	p.b.t.Helper()
	var out struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails json.RawMessage
	}
	p.b.do(p.session, "Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true}, &out)
	if out.ExceptionDetails != nil {
		p.b.t.Fatalf("%s: %s", expression, out.ExceptionDetails)
	}
	if err := json.Unmarshal(out.Result.Value, value); err != nil {
		p.b.t.Fatalf("%s: %s: %v", expression, out.Result.Value, err)
	}
}

// Text gives an expression's text.
func (p *Page) Text(expression string) string {
	p.b.t.Helper()
	var s string
	p.Eval(expression, &s)
	return s
}

// Press presses a key, as "Tab" or "Enter".
func (p *Page) Press(key string) {
	p.b.t.Helper()
	codes := map[string]int{"Tab": 9, "Enter": 13}
	text := map[string]string{"Enter": "\r"}
	p.b.do(p.session, "Input.dispatchKeyEvent", map[string]any{"type": "keyDown", "key": key, "code": key, "windowsVirtualKeyCode": codes[key], "text": text[key]}, nil)
	p.b.do(p.session, "Input.dispatchKeyEvent", map[string]any{"type": "keyUp", "key": key, "code": key, "windowsVirtualKeyCode": codes[key]}, nil)
}

// Picture gives the screen as a PNG.
func (p *Page) Picture() []byte {
	p.b.t.Helper()
	var out struct{ Data []byte } // base64
	p.b.do(p.session, "Page.captureScreenshot", map[string]any{"format": "png"}, &out)
	return out.Data
}
