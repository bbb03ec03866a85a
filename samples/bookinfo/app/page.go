package main

import (
	"bytes"
	_ "embed"
	"html/template"
	"net/http"
	"strings"
	"sync"
)

const (
	title   = "The Comedy of Errors"
	summary = "Two pairs of twins, one town, one day: a play in which every message reaches the wrong address."
)

//go:embed page.html
var pageSource string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"stars": func(n int) string { return strings.Repeat("★", n) + strings.Repeat("☆", max(0, 5-n)) },
}).Parse(pageSource))

// view is what the page shows.
type view struct {
	Title, Summary, User string
	Self                 answerer
	Details              *detailsAnswer
	DetailsError         string
	Reviews              *reviewsAnswer
	ReviewsError         string
}

func (s *service) productPage(w http.ResponseWriter, r *http.Request) {
	h := withUser(r)
	v := view{Title: title, Summary: summary, User: h.Get("End-User"), Self: s.answerer(r)}
	var (
		details detailsAnswer
		reviews reviewsAnswer
		both    sync.WaitGroup
	)
	both.Go(func() {
		if _, err := s.call(r.Context(), h, "details", "/details/0", &details); err != nil {
			v.DetailsError = err.Error()
			return
		}
		v.Details = &details
	})
	both.Go(func() {
		if _, err := s.call(r.Context(), h, "reviews", "/reviews/0", &reviews); err != nil {
			v.ReviewsError = err.Error()
			return
		}
		v.Reviews = &reviews
	})
	both.Wait()
	var out bytes.Buffer
	if err := page.Execute(&out, v); err != nil {
		http.Error(w, "rendering the page: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	// An error here means that the caller has gone; there is nobody left to tell.
	_, _ = out.WriteTo(w)
}
