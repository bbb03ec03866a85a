package volume

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/localnode/state"
)

// Source is what a container mounts.
type Source struct {
	Path     string // the host's
	ReadOnly bool   // whatever the mount says: only we write to the volume
}

// Mount gives what the container mounts as its i-th mount: the volume, or subPath in it. A subPath is
// mounted at a place of its own, so that nothing in the volume can change what it leads to.
func (s *Set) Mount(container string, i int, m corev1.VolumeMount, subPath string) (Source, error) {
	at := slices.IndexFunc(s.Pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name })
	if at < 0 {
		return Source{}, fmt.Errorf("mount %s names volume %q, which the pod does not have", m.MountPath, m.Name)
	}
	v := &s.Pod.Spec.Volumes[at]
	src := Source{Path: s.Path(v), ReadOnly: shows(v)}
	if subPath == "" {
		return src, nil
	}
	f, err := s.open(v, subPath)
	if err != nil {
		return Source{}, fmt.Errorf("mount %s: subPath %q: %w", m.MountPath, subPath, err)
	}
	defer f.Close()
	src.Path = filepath.Join(s.subPaths(), container, strconv.Itoa(i))
	if err := bind(f, src.Path); err != nil {
		return Source{}, fmt.Errorf("mount %s: subPath %q: %w", m.MountPath, subPath, err)
	}
	return src, nil
}

// shows tells whether the volume shows objects: only we write to it.
func shows(v *corev1.Volume) bool {
	return v.HostPath == nil && v.EmptyDir == nil && !isEmpty(v.VolumeSource)
}

// subPaths is where subPaths are mounted. No volume has a name with "_".
func (s *Set) subPaths() string { return filepath.Join(s.Memory, "_subpaths") }

// open opens subPath beneath the volume. In an emptyDir a missing directory is made.
func (s *Set) open(v *corev1.Volume, subPath string) (*os.File, error) {
	if !IsBeneath(subPath) {
		return nil, errors.New("it must stay inside of the volume")
	}
	subPath = filepath.Clean(subPath)
	root, err := os.Open(s.Path(v))
	if err != nil {
		return nil, err
	}
	defer root.Close()
	if shows(v) {
		return beneath(root, subPath, insideLinks)
	}
	f, err := beneath(root, subPath, noLinks)
	if errors.Is(err, fs.ErrNotExist) && v.HostPath == nil {
		return makeBeneath(root, subPath)
	}
	return f, err
}

// IsBeneath tells whether a path is relative and has no element "..", as an API server demands of
// paths in volumes.
func IsBeneath(path string) bool {
	return filepath.IsLocal(path) && !slices.Contains(strings.Split(path, string(filepath.Separator)), "..")
}

// tokenGroup reads tokens that containers of several users mount, in a pod without a group of its
// own. It has no meaning elsewhere: each token is reached by those who mount it only.
const tokenGroup = 0x70687468

// restrict keeps a token from users that are not to have it: the one user whom the containers that
// mount it run as reads it, and the pod's group. Where several users mount it, or one that only
// the image knows, those containers get a group for it.
func (s *Set) restrict(volume string, f *File) {
	uid, known := s.userOf(volume)
	f.UID, f.Mode = uid, 0o600
	switch gid := s.fsGroup(); {
	case gid != 0:
		f.GID, f.Mode = gid, 0o640
	case !known:
		f.GID, f.Mode = tokenGroup, 0o640
	}
}

// Groups gives the groups that a container needs to read what it mounts, besides the pod's own.
func (s *Set) Groups(c *corev1.Container) []int64 {
	for _, m := range c.VolumeMounts {
		at := slices.IndexFunc(s.Pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name && hasToken(&v) })
		if at < 0 || s.fsGroup() != 0 {
			continue
		}
		if _, known := s.userOf(m.Name); !known {
			return []int64{tokenGroup}
		}
	}
	return nil
}

func hasToken(v *corev1.Volume) bool {
	return v.Projected != nil && slices.ContainsFunc(v.Projected.Sources, func(p corev1.VolumeProjection) bool { return p.ServiceAccountToken != nil })
}

// userOf gives the one user whom all containers that mount the volume run as: root where there is
// no such container. It is not known where they differ, or where an image decides.
func (s *Set) userOf(volume string) (uid int, known bool) {
	found := false
	for _, c := range slices.Concat(s.Pod.Spec.InitContainers, s.Pod.Spec.Containers) {
		if !slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == volume }) {
			continue
		}
		u := s.runAsUser(&c)
		if u == nil || found && int(*u) != uid {
			return 0, false
		}
		uid, found = int(*u), true
	}
	return uid, true
}

func (s *Set) runAsUser(c *corev1.Container) *int64 {
	if c.SecurityContext != nil && c.SecurityContext.RunAsUser != nil {
		return c.SecurityContext.RunAsUser
	}
	if sc := s.Pod.Spec.SecurityContext; sc != nil {
		return sc.RunAsUser
	}
	return nil
}

// Remove deletes the volumes.
func (s *Set) Remove() error { return errors.Join(state.RemoveAll(s.Dir), state.RemoveAll(s.Memory)) }
