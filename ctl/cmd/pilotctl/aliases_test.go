package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestAliasesAreThoseOfNow(t *testing.T) {
	dir := t.TempDir()
	got, err := readAliases([]string{dir})
	if err != nil || got["registry.istio.io/release/examples-bookinfo-reviews-v1"] != "docker.io/pilothouse/examples-bookinfo-reviews-v1:dev" {
		t.Errorf("of an empty directory: %v %v", got, err)
	}
	write := func(namespace, aliases string) {
		text := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: pilothouse-images, namespace: " + namespace + "}\ndata:\n  aliases: " + aliases + "\n"
		if err := os.WriteFile(filepath.Join(dir, "images.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("istio-system", `"nginx: ours/nginx:dev"`)
	if got, err = readAliases([]string{dir}); err != nil || got["nginx"] != "ours/nginx:dev" {
		t.Errorf("of a ConfigMap: %v %v", got, err)
	}
	write("default", `"nginx: ours/nginx:dev"`)
	if got, err = readAliases([]string{dir}); err != nil || got["nginx"] != "" {
		t.Errorf("of a ConfigMap elsewhere: %v %v", got, err)
	}
	write("istio-system", `"[nginx]"`)
	if got, err = readAliases([]string{dir}); err == nil {
		t.Errorf("of a list: %v", got)
	}
}
