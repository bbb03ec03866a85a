package volume

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pilothouse-mesh/pilothouse/localnode/token"
)

func read(t *testing.T, elem ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(elem...))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestWriteReplacesAllAtOnce(t *testing.T) {
	dir := t.TempDir()
	if err := Write(dir, map[string]File{"a": {Content: []byte("1"), Mode: 0o644}, "sub/b": {Content: []byte("2"), Mode: 0o600}}); err != nil {
		t.Fatal(err)
	}
	if read(t, dir, "a") != "1" || read(t, dir, "sub", "b") != "2" {
		t.Error("the files do not show what was written")
	}
	first, _ := os.Readlink(filepath.Join(dir, dataLink))
	if err := Write(dir, map[string]File{"a": {Content: []byte("1"), Mode: 0o644}, "sub/b": {Content: []byte("2"), Mode: 0o600}}); err != nil {
		t.Fatal(err)
	}
	if again, _ := os.Readlink(filepath.Join(dir, dataLink)); again != first {
		t.Error("the same content was written again")
	}
	if err := Write(dir, map[string]File{"a": {Content: []byte("3"), Mode: 0o644}}); err != nil {
		t.Fatal(err)
	}
	if read(t, dir, "a") != "3" {
		t.Error("the new content does not show")
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 3 { // a, ..data and what it leads to
		t.Errorf("left are %v", entries)
	}
	for _, bad := range []string{"../x", "/x", "..x", "a/../../x"} {
		if err := Write(dir, map[string]File{bad: {}}); err == nil {
			t.Errorf("path %q was written", bad)
		}
	}
}

type fake struct{ signed int }

func (*fake) ConfigMap(_, name string) (*corev1.ConfigMap, bool) {
	return &corev1.ConfigMap{Data: map[string]string{"key": "value", "other": "x"}}, name == "settings"
}
func (*fake) Secret(string, string) (*corev1.Secret, bool)           { return nil, false }
func (*fake) Field(path string) (string, error)                      { return "field " + path, nil }
func (*fake) Resource(*corev1.ResourceFieldSelector) (string, error) { return "1", nil }
func (f *fake) Sign(token.Subject, []string, time.Duration) (string, error) {
	f.signed++
	return fmt.Sprintf("token %d", f.signed), nil
}

func TestSet(t *testing.T) {
	dir := t.TempDir()
	now := time.Unix(1000, 0)
	group := int64(os.Getgid())
	f := &fake{}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default"}, Spec: corev1.PodSpec{
		SecurityContext: &corev1.PodSecurityContext{FSGroup: &group},
		Volumes: []corev1.Volume{
			{Name: "scratch", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
			{Name: "settings", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
				LocalObjectReference: corev1.LocalObjectReference{Name: "settings"}, Items: []corev1.KeyToPath{{Key: "key", Path: "dir/file"}},
			}}},
			{Name: "podinfo", VolumeSource: corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{
				Items: []corev1.DownwardAPIVolumeFile{{Path: "labels", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.labels"}}},
			}}},
			{Name: "token", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
				Sources: []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "istio-token"}}},
			}}},
		},
	}}
	s := &Set{Pod: pod, Dir: filepath.Join(dir, "disk"), Memory: filepath.Join(dir, "memory"), Objects: f, Tokens: f, Fields: f, Now: func() time.Time { return now }}
	renew, err := s.Sync()
	if err != nil {
		t.Fatal(err)
	}
	if want := now.Add(48 * time.Minute); renew != want {
		t.Errorf("the token is renewed at %v, want 80 %% of an hour: %v", renew, want)
	}
	if got := read(t, s.Memory, "settings", "dir", "file"); got != "value" {
		t.Errorf("the ConfigMap shows %q", got)
	}
	if got := read(t, s.Memory, "podinfo", "labels"); got != "field metadata.labels" {
		t.Errorf("the downward API shows %q", got)
	}
	now = renew
	if _, err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	if got := read(t, s.Memory, "token", "istio-token"); got != "token 2" {
		t.Errorf("the token after its renewal is %q", got)
	}
	src, err := s.Mount("app", 0, corev1.VolumeMount{Name: "settings"}, "dir/file")
	if err != nil || read(t, src.Path) != "value" || !src.ReadOnly {
		t.Errorf("subPath leads to %v, %v", src, err)
	}
	if err := s.Remove(); err != nil {
		t.Error(err)
	}
	pod.Spec.Volumes[1].ConfigMap.Name = "absent"
	if _, err := s.Sync(); err == nil {
		t.Error("a missing ConfigMap is no error")
	}
}
