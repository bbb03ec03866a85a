package main

import (
	"encoding/json"
	"maps"
	"net/http"
	"time"
)

type detailsAnswer struct {
	ID        string `json:"id"`
	Author    string `json:"author"`
	Year      int    `json:"year"`
	Type      string `json:"type"`
	Pages     int    `json:"pages"`
	Publisher string `json:"publisher"`
	Language  string `json:"language"`
	ISBN10    string `json:"ISBN-10"`
	ISBN13    string `json:"ISBN-13"`
	answerer
}

func (s *service) details(w http.ResponseWriter, r *http.Request) {
	writeJSON(w, detailsAnswer{
		ID: r.PathValue("id"), Author: "William Shakespeare", Year: 1595, Type: "paperback", Pages: 200,
		Publisher: "PublisherA", Language: "English", ISBN10: "1234567890", ISBN13: "123-1234567890",
		answerer: s.answerer(r),
	})
}

type ratingsAnswer struct {
	ID      string         `json:"id"`
	Ratings map[string]int `json:"ratings"`
	answerer
}

func (s *service) ratings(w http.ResponseWriter, r *http.Request) {
	writeJSON(w, ratingsAnswer{
		ID: r.PathValue("id"), Ratings: map[string]int{"Reviewer1": 5, "Reviewer2": 4}, answerer: s.answerer(r),
	})
}

type rating struct {
	Stars int    `json:"stars,omitempty"` // 1 to 5
	Color string `json:"color,omitempty"`
	Error string `json:"error,omitempty"`
}

type review struct {
	Reviewer string  `json:"reviewer"`
	Text     string  `json:"text"`
	Rating   *rating `json:"rating,omitempty"`
}

type reviewsAnswer struct {
	ID      string    `json:"id"`
	Reviews []review  `json:"reviews"`
	Ratings *answerer `json:"ratings,omitempty"` // who gave the stars
	answerer
}

// starColor by version: v1 shows no stars, v2 black ones, v3 red ones.
var starColor = map[string]string{"v2": "black", "v3": "red"}

func (s *service) reviews(w http.ResponseWriter, r *http.Request) {
	out := reviewsAnswer{ID: r.PathValue("id"), answerer: s.answerer(r), Reviews: []review{
		{Reviewer: "Reviewer1", Text: "Lively, short, and everyone gets the wrong person first."},
		{Reviewer: "Reviewer2", Text: "Better on stage than on paper, as it should be."},
	}}
	if color, stars := starColor[s.version]; stars {
		var ratings ratingsAnswer
		_, err := s.call(r.Context(), r.Header, "ratings", "/ratings/"+r.PathValue("id"), &ratings)
		for i := range out.Reviews {
			if err != nil {
				out.Reviews[i].Rating = &rating{Error: "Ratings service is currently unavailable"}
				continue
			}
			out.Reviews[i].Rating = &rating{Stars: ratings.Ratings[out.Reviews[i].Reviewer], Color: color}
		}
		if err == nil {
			out.Ratings = &ratings.answerer
		}
	}
	writeJSON(w, out)
}

func (s *service) products(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, []map[string]any{{"id": 0, "title": title, "descriptionHtml": summary}})
}

// relay answers a path of the API with what another service says.
func (s *service) relay(to, prefix string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var answer json.RawMessage
		status, err := s.call(r.Context(), withUser(r), to, prefix+r.PathValue("id"), &answer)
		if err != nil {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			writeJSON(w, map[string]string{"error": err.Error()})
			return
		}
		writeJSON(w, answer)
	}
}

const userCookie = "bookinfo-user"

// withUser gives the request's headers with end-user set to who is signed in, if anyone is.
func withUser(r *http.Request) http.Header {
	h := maps.Clone(r.Header)
	if c, err := r.Cookie(userCookie); err == nil && c.Value != "" {
		h.Set("End-User", c.Value)
	}
	return h
}

func login(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, &http.Cookie{
		Name: userCookie, Value: r.FormValue("username"), Path: "/", HttpOnly: true,
		SameSite: http.SameSiteLaxMode, Expires: time.Now().Add(12 * time.Hour),
	})
	http.Redirect(w, r, "/productpage", http.StatusSeeOther)
}

func logout(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, &http.Cookie{Name: userCookie, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	http.Redirect(w, r, "/productpage", http.StatusSeeOther)
}
