package main

import "testing"

// TestAPodIsNamedAsKubectlAndIstioctlNameIt takes the forms that either of them knows.
func TestAPodIsNamedAsKubectlAndIstioctlNameIt(t *testing.T) {
	for given, want := range map[string]string{
		"web":                   "web.shop",
		"web.front":             "web.front",
		"front/web":             "web.front",
		"deploy/web":            "web.shop",
		"deployment/web":        "web.shop",
		"deployments.apps/web":  "web.shop",
		"deployment/web.front":  "web.front",
		"pod/web-5d9c-x2x.shop": "web-5d9c-x2x.shop",
		"a/b/c":                 "a/b/c.shop", // which nothing is called
		"deploy/a/b":            "deploy/a/b.shop",
	} {
		if got := qualified(given, "shop"); got != want {
			t.Errorf("%s is taken for %s, want %s", given, got, want)
		}
	}
}
