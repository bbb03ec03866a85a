package model

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// BracketedKey reads a key such as request.auth.claims[a][b]: its name and what is in the brackets, each
// at least one character long.
func BracketedKey(key string) (name string, names []string, ok bool) {
	name, rest, found := strings.Cut(key, "[")
	if !found || !strings.HasSuffix(rest, "]") {
		return "", nil, false
	}
	names = strings.Split(strings.TrimSuffix(rest, "]"), "][")
	for _, n := range names {
		if n == "" || strings.ContainsAny(n, "[]") {
			return "", nil, false
		}
	}
	return name, names, true
}

// The operators of path templates.
const (
	oneSegment   = "{*}"
	moreSegments = "{**}"
)

// PathTemplate turns a path with {*} for one segment and {**} for any number of them into a regular
// expression for the whole path. Both stand for whole segments, and {**} is the last operator.
func PathTemplate(path string) (string, error) {
	if !strings.HasPrefix(path, "/") {
		return "", errors.New("a path with {*} or {**} begins with a slash")
	}
	var b strings.Builder
	last := false // the last operator has come
	for _, segment := range strings.Split(path[1:], "/") {
		b.WriteByte('/')
		switch {
		case segment == oneSegment || segment == moreSegments:
			if last {
				return "", errors.New("{**} is the last operator of a path")
			}
			if last = segment == moreSegments; last {
				b.WriteString(".*")
			} else {
				b.WriteString("[^/]+")
			}
		case strings.ContainsAny(segment, "{}*"):
			return "", fmt.Errorf("segment %q is neither {*}, {**} nor a text without braces and stars", segment)
		default:
			b.WriteString(regexp.QuoteMeta(segment))
		}
	}
	return b.String(), nil
}
