package e2e

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"image/png"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pilothouse-mesh/pilothouse/test/browser"
)

var pictures = flag.String("pictures", "", "write pictures of the page into this folder, as those of docs are made")

// maxPicture bounds a picture of the page in bytes, since the README has one.
const maxPicture = 200_000

// testBrowser looks at the control plane's page as people do: on a desk and on a phone, in the light and in
// the dark, by keyboard alone, while requests go through the mesh.
func testBrowser(t *testing.T, m *mesh) {
	ctx := t.Context()
	line, err := m.output.wait(ctx, regexp.MustCompile(`^Page: http://127\.0\.0\.1:\d+/\w+/$`))
	if err != nil {
		t.Fatal(err)
	}
	address := strings.TrimPrefix(line, "Page: ")
	load := m.startLoad(20, "/productpage")
	defer load.stop(t, 20)
	chromium := browser.Start(t)
	page := chromium.Open(address, browser.Screen{Width: 1280, Height: 800})
	eventually(t, time.Minute, "the graph of the sample", func() error {
		text := page.Text("document.querySelector('main').innerText")
		for _, want := range []string{"istio-ingressgateway", "productpage-v1", "details-v1", "reviews-v", "mTLS"} {
			if !strings.Contains(text, want) {
				return fmt.Errorf("lacks %s:\n%s", want, text)
			}
		}
		// The script alone has brought this: the page has not been loaded again.
		if !regexp.MustCompile(`productpage\s+http\s+\d+/s\s+0%\s+[\d.]+ ms\s+[\d.]+ ms\s+mTLS`).MatchString(text) {
			return fmt.Errorf("no rates of the gateway's requests:\n%s", text)
		}
		return nil
	})
	picture(t, page, "page.png")
	byKeyboard(t, page)
	theProxy(t, m, page, address)
	for name, screen := range map[string]browser.Screen{
		"page-phone.png": {Width: 390, Height: 844, Phone: true}, "page-dark.png": {Width: 1280, Height: 800, Dark: true},
	} {
		other := chromium.Open(address, screen)
		var wide bool
		other.Eval("document.documentElement.scrollWidth > innerWidth", &wide)
		if wide {
			t.Errorf("%s: the page is wider than its screen", name)
		}
		ground := other.Text("getComputedStyle(document.body).backgroundColor")
		if dark := ground != "rgb(255, 255, 255)"; dark != screen.Dark {
			t.Errorf("%s: the ground is %s", name, ground)
		}
		picture(t, other, name)
		noErrors(t, other)
	}
	testDashboard(t, m)
}

func noErrors(t *testing.T, page *browser.Page) {
	t.Helper()
	for _, e := range page.Errors() {
		t.Error(e)
	}
}

// picture takes one, which has to be small enough for the README.
func picture(t *testing.T, page *browser.Page, name string) {
	t.Helper()
	data := page.Picture()
	if _, err := png.Decode(bytes.NewReader(data)); err != nil || len(data) > maxPicture {
		t.Errorf("%s: %d bytes, %v", name, len(data), err)
	}
	if *pictures != "" {
		if err := os.WriteFile(filepath.Join(*pictures, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// byKeyboard goes to the table of proxies and to the page of one of them with Tab and Enter alone.
func byKeyboard(t *testing.T, page *browser.Page) {
	t.Helper()
	focused := func() string { return page.Text("(document.activeElement?.innerText || '').trim()") }
	press := func(wanted string) {
		t.Helper()
		seen := []string{}
		for range 40 {
			page.Press("Tab")
			at := focused()
			if seen = append(seen, at); strings.HasPrefix(at, wanted) {
				page.Press("Enter")
				return
			}
		}
		t.Fatalf("%q is not reached by Tab, but %q", wanted, seen)
	}
	page.Press("Tab")
	if at := focused(); at != "Skip to content" {
		t.Errorf("the first stop is %q", at)
	}
	press("Proxies")
	eventually(t, 20*time.Second, "the proxies", func() error { return title(page, "Proxies") })
	press("productpage-v1")
	eventually(t, 20*time.Second, "a proxy", func() error { return title(page, "productpage-v1") })
}

func title(page *browser.Page, prefix string) error {
	if got := page.Text("document.title"); !strings.HasPrefix(got, prefix) {
		return fmt.Errorf("the title is %q", got)
	}
	return nil
}

// theProxy looks at the tables of a proxy, and follows a route to the object that made it.
func theProxy(t *testing.T, m *mesh, page *browser.Page, address string) {
	t.Helper()
	eventually(t, 20*time.Second, "the page of a proxy", func() error { // its tables may still be coming
		text := page.Text("document.querySelector('main').innerText")
		for _, want := range []string{"SYNCED", "virtualInbound", "reviews.default.svc.cluster.local", "VirtualService default/reviews", "DestinationRule default/reviews"} {
			if !strings.Contains(text, want) {
				return fmt.Errorf("lacks %s:\n%s", want, text)
			}
		}
		return nil
	})
	picture(t, page, "page-proxy.png")
	noErrors(t, page)
	page.Go(address + "object?kind=VirtualService&namespace=default&name=reviews")
	text := page.Text("document.querySelector('main').innerText")
	if want := filepath.Join(m.dir, "virtual-service-reviews.yaml") + ":"; !strings.Contains(text, want) || !strings.Contains(text, "hosts:") {
		t.Errorf("the object's page lacks its file %s or its content:\n%s", want, text)
	}
	noErrors(t, page)
}

// testDashboard asks for the page of one pod by `pilotctl dashboard`.
func testDashboard(t *testing.T, m *mesh) {
	cmd := exec.CommandContext(t.Context(), filepath.Join(root(t), "bin/pilotctl"), "dashboard", "productpage-v1", "--name", m.name)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatalf("it says nothing: %v", cmd.Wait())
	}
	resp, err := http.Get(lines.Text())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK || !strings.Contains(lines.Text(), "proxy?proxyID=productpage-v1") {
		t.Errorf("%s: %s", lines.Text(), resp.Status)
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after Ctrl-C: %v", err)
	}
}
