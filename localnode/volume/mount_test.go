package volume

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func emptyDirSet(t *testing.T) *Set {
	t.Helper()
	dir := t.TempDir()
	f := &fake{}
	s := &Set{
		Pod: &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default"}, Spec: corev1.PodSpec{Volumes: []corev1.Volume{
			{Name: "vol", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
		}}},
		Dir: filepath.Join(dir, "disk"), Memory: filepath.Join(dir, "memory"), Objects: f, Tokens: f, Fields: f, Now: time.Now,
	}
	if _, err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Remove(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestSubPathFollowsNoLink gives paths over links that a container could have made.
func TestSubPathFollowsNoLink(t *testing.T) {
	s := emptyDirSet(t)
	vol := filepath.Join(s.Dir, "vol")
	outside := t.TempDir()
	for name, target := range map[string]string{
		"root": "/", "up": "../..", "here": ".", "outside": outside, "proc": "/proc/self/root", "dangling": outside + "/none",
	} {
		if err := os.Symlink(target, filepath.Join(vol, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(outside, filepath.Join(vol, "a")); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{
		"root", "root/etc", "up", "up/memory", "here", "outside", "outside/made", "a/b/c", "proc", "proc/etc", "dangling",
		"../vol", "x/../../y", "/etc", "..",
	} {
		if src, err := s.Mount("app", 0, corev1.VolumeMount{Name: "vol", MountPath: "/m"}, bad); err == nil {
			t.Errorf("subPath %q was mounted from %s", bad, src.Path)
		}
	}
	if left, err := os.ReadDir(outside); err != nil || len(left) > 0 {
		t.Errorf("made outside of the volume: %v, %v", left, err)
	}
}

// TestSubPathInShownVolume follows the links that we make ourselves, and none that leads out.
func TestSubPathInShownVolume(t *testing.T) {
	s := emptyDirSet(t)
	s.Pod.Spec.Volumes = []corev1.Volume{{Name: "cm", VolumeSource: corev1.VolumeSource{
		ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "settings"}},
	}}}
	if _, err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	src, err := s.Mount("app", 0, corev1.VolumeMount{Name: "cm"}, "key")
	if err != nil || read(t, src.Path) != "value" || !src.ReadOnly {
		t.Errorf("%v, %v", src, err)
	}
	outside := t.TempDir()
	for name, target := range map[string]string{"abs": outside, "rel": "../../.."} {
		if err := os.Symlink(target, filepath.Join(s.Memory, "cm", name)); err != nil {
			t.Fatal(err)
		}
		if src, err := s.Mount("app", 0, corev1.VolumeMount{Name: "cm"}, name); err == nil {
			t.Errorf("%s was mounted at %s", target, src.Path)
		}
	}
}

// TestSubPathIsMadeAndStays mounts a missing subPath; what becomes of its path afterwards changes
// nothing for those who have it mounted.
func TestSubPathIsMadeAndStays(t *testing.T) {
	s := emptyDirSet(t)
	vol := filepath.Join(s.Dir, "vol")
	src, err := s.Mount("app", 1, corev1.VolumeMount{Name: "vol"}, "with..dots/deep")
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(vol, "with..dots", "deep"))
	if err != nil || info.Mode().Perm() != 0o777 {
		t.Fatalf("the subPath is %v, %v; it has to be as writable as the volume", info, err)
	}
	if err := os.Rename(filepath.Join(vol, "with..dots"), filepath.Join(vol, "moved")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/", filepath.Join(vol, "with..dots")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(src.Path, "file"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if read(t, vol, "moved", "deep", "file") != "x" {
		t.Error("the mount is of something else")
	}
	if _, err := s.Mount("app", 1, corev1.VolumeMount{Name: "vol"}, "moved/deep/file"); err != nil {
		t.Errorf("mounting a file in the same place: %v", err)
	}
}

// TestRemoveKeepsWhatIsTheHosts removes volumes while a hostPath's subPath is mounted among them.
func TestRemoveKeepsWhatIsTheHosts(t *testing.T) {
	s := emptyDirSet(t)
	host := t.TempDir()
	if err := os.MkdirAll(filepath.Join(host, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(host, "sub", "precious"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Pod.Spec.Volumes = append(s.Pod.Spec.Volumes, corev1.Volume{Name: "host", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: host}}})
	src, err := s.Mount("app", 0, corev1.VolumeMount{Name: "host"}, "sub")
	if err != nil || read(t, src.Path, "precious") != "x" {
		t.Fatalf("%v, %v", src, err)
	}
	if _, err := s.Mount("app", 1, corev1.VolumeMount{Name: "host"}, "missing"); err == nil {
		t.Error("a directory was made on the host")
	}
	if err := s.Remove(); err != nil {
		t.Fatal(err)
	}
	if read(t, host, "sub", "precious") != "x" {
		t.Error("the host's file is gone")
	}
	if _, err := os.Stat(s.Memory); !os.IsNotExist(err) {
		t.Errorf("the volumes are still there: %v", err)
	}
}

// TestOldDataOutside lets ..data, which a privileged container may have changed, lead elsewhere.
func TestOldDataOutside(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "precious"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, dataLink)); err != nil {
		t.Fatal(err)
	}
	if err := Write(dir, map[string]File{"a/b": {Content: []byte("1"), Mode: 0o644}}); err != nil {
		t.Fatal(err)
	}
	if read(t, dir, "a", "b") != "1" {
		t.Error("the file does not show")
	}
	if _, err := os.Stat(filepath.Join(outside, "precious")); err != nil {
		t.Error(err)
	}
}

// TestTokenIsForItsMounters looks at whose a token is, by who mounts it.
func TestTokenIsForItsMounters(t *testing.T) {
	user := func(uid int64) *corev1.SecurityContext { return &corev1.SecurityContext{RunAsUser: &uid} }
	mounts := []corev1.VolumeMount{{Name: "token"}}
	proxy := corev1.Container{Name: "istio-proxy", SecurityContext: user(1337), VolumeMounts: mounts}
	other := corev1.Container{Name: "app", SecurityContext: user(2000)}
	group := int64(3000)
	for name, c := range map[string]struct {
		containers []corev1.Container
		group      *int64
		uid, gid   uint32
		mode       os.FileMode
		extra      []int64 // groups of the first container
	}{
		"mounted by one user": {[]corev1.Container{proxy, other}, nil, 1337, 0, 0o600, nil},
		"by two users":        {[]corev1.Container{proxy, {Name: "b", SecurityContext: user(1), VolumeMounts: mounts}}, nil, 0, tokenGroup, 0o640, []int64{tokenGroup}},
		"by an image's user":  {[]corev1.Container{{Name: "a", VolumeMounts: mounts}, other}, nil, 0, tokenGroup, 0o640, []int64{tokenGroup}},
		"by nobody":           {[]corev1.Container{other}, nil, 0, 0, 0o600, nil},
		"with a pod's group":  {[]corev1.Container{proxy, other}, &group, 1337, 3000, 0o640, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := emptyDirSet(t)
			s.Pod.Spec.Containers = c.containers
			s.Pod.Spec.SecurityContext = &corev1.PodSecurityContext{FSGroup: c.group}
			s.Pod.Spec.Volumes = []corev1.Volume{{Name: "token", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
				Sources: []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "istio-token"}}},
			}}}}
			if _, err := s.Sync(); err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(filepath.Join(s.Memory, "token", "istio-token"))
			if err != nil {
				t.Fatal(err)
			}
			st := info.Sys().(*syscall.Stat_t)
			if st.Uid != c.uid || st.Gid != c.gid || info.Mode().Perm() != c.mode {
				t.Errorf("the token is of %d:%d with mode %o, want %d:%d and %o", st.Uid, st.Gid, info.Mode().Perm(), c.uid, c.gid, c.mode)
			}
			if got := s.Groups(&c.containers[0]); len(got) != len(c.extra) {
				t.Errorf("groups %v, want %v", got, c.extra)
			}
			above, err := os.Stat(s.Memory)
			if err != nil || above.Mode().Perm() != 0o700 {
				t.Errorf("the volumes' directory is %v, %v", above.Mode(), err)
			}
		})
	}
}
