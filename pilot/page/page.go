// Package page shows the mesh to people, in a browser: who calls whom, the proxies with their state, what
// each of them was sent and which objects that came from, and what is not in effect. It is part of the
// control plane's debug pages and changes nothing. All of it is in the program: pages are made on the server,
// with everything escaped, need no script to be read, and name no other host.
package page

import (
	"bytes"
	"embed"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/traffic"
	"github.com/pilothouse-mesh/pilothouse/pilot/xds"
)

//go:embed templates static
var files embed.FS

// Options of a Page; functions are called for each request.
type Options struct {
	Connections func() []xds.Connection
	Problems    func() []model.Problem
	// Object gives an object of the configuration that is served, nil where there is none.
	Object func(model.Key) *model.Object
	// Service gives what a host means to a client's namespace, nil for nothing.
	Service func(client, host string) *model.Service
	Traffic *traffic.Watcher
	Name    string // of this replica
	Version string
	Logger  *slog.Logger
}

// Page serves the pages.
type Page struct {
	opts      Options
	templates map[string]*template.Template
	static    fs.FS
}

// The pages, by their last path element. Links between them are relative, so that they may be served below
// any path.
const (
	overviewPage = ""
	proxiesPage  = "proxies"
	problemsPage = "problems"
	proxyPage    = "proxy"
	objectPage   = "object"
)

// New gives a Page. It panics where a template does not parse, which tests see.
func New(opts Options) *Page {
	p := &Page{opts: opts, templates: map[string]*template.Template{}}
	for _, name := range []string{"overview", proxiesPage, problemsPage, proxyPage, objectPage} {
		t := template.New("layout.html").Funcs(formats)
		p.templates[name] = template.Must(t.ParseFS(files, "templates/layout.html", "templates/"+name+".html"))
	}
	static, err := fs.Sub(files, "static")
	if err != nil {
		panic(err) // it is embedded
	}
	p.static = static
	return p
}

// policy lets a page load its own style and script, send its own form, and nothing else.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// Handler serves the pages below a path that ends in "/".
func (p *Page) Handler(below string) http.Handler {
	mux := http.NewServeMux()
	for name, serve := range map[string]http.HandlerFunc{
		overviewPage + "{$}": p.overview, proxiesPage: p.proxies, problemsPage: p.problems, proxyPage: p.proxy, objectPage: p.object,
	} {
		mux.HandleFunc("GET /"+name, serve)
	}
	mux.Handle("GET /static/", http.StripPrefix("/static/", http.FileServerFS(p.static)))
	return http.StripPrefix(below[:len(below)-1], http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		mux.ServeHTTP(w, r)
	}))
}

// frame is what every page has.
type frame struct {
	Title, Here string
	// Refresh is every how many seconds the script reads the live part again; 0 for never.
	Refresh       int
	Name, Version string
	Problems      int
	Body          any
}

// write makes a page whole before any of it is sent, so that an error is one.
func (p *Page) write(w http.ResponseWriter, status int, name string, f frame) {
	f.Name, f.Version, f.Problems = p.opts.Name, p.opts.Version, len(p.opts.Problems())
	var b bytes.Buffer
	if err := p.templates[name].Execute(&b, f); err != nil {
		p.opts.Logger.Error("page not made", "page", name, "error", err)
		http.Error(w, "the page could not be made; the control plane's log says why", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // a client that went away is no error of ours
}
