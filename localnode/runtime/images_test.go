package runtime

import (
	"archive/tar"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func tarball1(t *testing.T, file, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image.tar")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := tar.NewWriter(f)
	if err := w.WriteHeader(&tar.Header{Name: file, Mode: 0o644, Size: int64(len(content))}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTags(t *testing.T) {
	oci := tarball1(t, "index.json", `{"schemaVersion":2,"manifests":[
		{"annotations":{"io.containerd.image.name":"docker.io/pilothouse/proxy:dev","org.opencontainers.image.ref.name":"dev"}},
		{"annotations":{"org.opencontainers.image.ref.name":"registry.example/a/b:1"}}]}`)
	docker := tarball1(t, "manifest.json", `[{"RepoTags":["pilothouse/proxy:dev"]}]`)
	for file, want := range map[string][]string{
		oci:    {full("pilothouse/proxy:dev"), "registry.example/a/b:1"},
		docker: {full("docker.io/pilothouse/proxy:dev")},
	} {
		if got, err := Tags(file); err != nil || !slices.Equal(got, want) {
			t.Errorf("tags are %v, %v; want %v", got, err, want)
		}
	}
	for _, bad := range []string{tarball1(t, "other", ""), tarball1(t, "index.json", "{"), tarball1(t, "manifest.json", "[")} {
		if got, err := Tags(bad); err == nil {
			t.Errorf("no error, but tags %v", got)
		}
	}
}
