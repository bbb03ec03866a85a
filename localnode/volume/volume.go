package volume

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/pilothouse-mesh/pilothouse/localnode/state"
	"github.com/pilothouse-mesh/pilothouse/localnode/token"
)

// Objects gives the configuration that volumes show; ok is false for what is not there.
type Objects interface {
	ConfigMap(namespace, name string) (cm *corev1.ConfigMap, ok bool)
	Secret(namespace, name string) (s *corev1.Secret, ok bool)
}

// Tokens signs service-account tokens.
type Tokens interface {
	Sign(sub token.Subject, audiences []string, ttl time.Duration) (string, error)
}

// Fields reads the downward API, e.g. metadata.labels, and a container's resources.
type Fields interface {
	Field(path string) (string, error)
	Resource(ref *corev1.ResourceFieldSelector) (string, error)
}

// Set is all volumes of one pod. It is used by one goroutine at a time.
type Set struct {
	Pod     *corev1.Pod
	Dir     string // on disk, for emptyDir; its directories are made here
	Memory  string // on a tmpfs, for tokens, secrets, configuration and medium Memory
	Objects Objects
	Tokens  Tokens
	Fields  Fields
	Subject token.Subject
	Now     func() time.Time

	tokens map[string]signed // by volume and path
}

type signed struct {
	raw   string
	renew time.Time
}

// Path is where a volume is on the host.
func (s *Set) Path(v *corev1.Volume) string {
	switch {
	case v.HostPath != nil:
		return v.HostPath.Path
	case v.EmptyDir != nil && v.EmptyDir.Medium != corev1.StorageMediumMemory:
		return filepath.Join(s.Dir, v.Name)
	case isEmpty(v.VolumeSource):
		return filepath.Join(s.Dir, v.Name)
	}
	return filepath.Join(s.Memory, v.Name)
}

// isEmpty tells whether the volume names no source, which means an emptyDir.
func isEmpty(src corev1.VolumeSource) bool { return src == corev1.VolumeSource{} }

// Sync makes the volumes that are missing and brings the others up to date. It gives the time
// at which the first token has to be renewed, or the zero time.
func (s *Set) Sync() (renew time.Time, err error) {
	if s.tokens == nil {
		s.tokens = map[string]signed{}
	}
	for i := range s.Pod.Spec.Volumes {
		v := &s.Pod.Spec.Volumes[i]
		if err := s.sync(v); err != nil {
			return time.Time{}, fmt.Errorf("volume %s: %w", v.Name, err)
		}
	}
	for _, t := range s.tokens {
		if renew.IsZero() || t.renew.Before(renew) {
			renew = t.renew
		}
	}
	return renew, nil
}

func (s *Set) sync(v *corev1.Volume) error {
	switch {
	case v.EmptyDir != nil, isEmpty(v.VolumeSource):
		return s.emptyDir(s.Path(v))
	case v.HostPath != nil:
		return checkHostPath(v.HostPath)
	}
	files, err := s.files(v)
	if err != nil {
		return err
	}
	dir := s.Path(v)
	if err := makeDir(dir); err != nil {
		return err
	}
	return Write(dir, files)
}

// makeDir makes a volume's own directory, which containers of any user may read, in one that
// nobody else may enter.
func makeDir(dir string) error {
	if err := state.Private(filepath.Dir(dir)); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); errors.Is(err, fs.ErrExist) {
		return nil
	} else if err != nil {
		return err
	}
	return os.Chmod(dir, 0o755)
}

// emptyDir is writable by everyone, and its files belong to the pod's group where it has one.
func (s *Set) emptyDir(dir string) error {
	if _, err := os.Lstat(dir); err == nil {
		return nil
	}
	if err := makeDir(dir); err != nil {
		return err
	}
	mode := fs.FileMode(0o777)
	if gid := s.fsGroup(); gid != 0 {
		if err := os.Chown(dir, 0, gid); err != nil {
			return err
		}
		mode |= fs.ModeSetgid
	}
	return os.Chmod(dir, mode)
}

func checkHostPath(h *corev1.HostPathVolumeSource) error {
	info, err := os.Stat(h.Path)
	kind := corev1.HostPathUnset
	if h.Type != nil {
		kind = *h.Type
	}
	switch {
	case kind == corev1.HostPathDirectoryOrCreate && errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("hostPath %s is missing, and a mesh makes nothing outside of its own directory: make it yourself", h.Path)
	case kind == corev1.HostPathDirectory && err == nil && !info.IsDir():
		return fmt.Errorf("hostPath %s is no directory", h.Path)
	case err != nil:
		return fmt.Errorf("hostPath: %w", err)
	}
	return nil
}

func (s *Set) fsGroup() int {
	if sc := s.Pod.Spec.SecurityContext; sc != nil && sc.FSGroup != nil {
		return int(*sc.FSGroup)
	}
	return 0
}

// files gives the content of a volume that shows objects.
func (s *Set) files(v *corev1.Volume) (map[string]File, error) {
	switch {
	case v.ConfigMap != nil:
		return s.configMap(v.ConfigMap.Name, v.ConfigMap.Items, v.ConfigMap.Optional, v.ConfigMap.DefaultMode)
	case v.Secret != nil:
		return s.secret(v.Secret.SecretName, v.Secret.Items, v.Secret.Optional, v.Secret.DefaultMode)
	case v.DownwardAPI != nil:
		return s.downward(v.DownwardAPI.Items, v.DownwardAPI.DefaultMode)
	case v.Projected != nil:
		return s.projected(v.Name, v.Projected)
	}
	return nil, fmt.Errorf("only emptyDir, configMap, secret, downwardAPI, projected and hostPath volumes can be run locally")
}

func (s *Set) projected(volume string, p *corev1.ProjectedVolumeSource) (map[string]File, error) {
	all := map[string]File{}
	for i, src := range p.Sources {
		files, err := s.projection(volume, src, p.DefaultMode)
		if err != nil {
			return nil, fmt.Errorf("source %d: %w", i, err)
		}
		maps.Copy(all, files)
	}
	return all, nil
}

func (s *Set) projection(volume string, src corev1.VolumeProjection, mode *int32) (map[string]File, error) {
	switch {
	case src.ConfigMap != nil:
		return s.configMap(src.ConfigMap.Name, src.ConfigMap.Items, src.ConfigMap.Optional, mode)
	case src.Secret != nil:
		return s.secret(src.Secret.Name, src.Secret.Items, src.Secret.Optional, mode)
	case src.DownwardAPI != nil:
		return s.downward(src.DownwardAPI.Items, mode)
	case src.ServiceAccountToken != nil:
		return s.token(volume, src.ServiceAccountToken, mode)
	case src.ClusterTrustBundle != nil:
		if src.ClusterTrustBundle.Optional != nil && *src.ClusterTrustBundle.Optional {
			return nil, nil
		}
	}
	return nil, fmt.Errorf("only configMap, secret, downwardAPI and serviceAccountToken can be projected locally")
}

func (s *Set) configMap(name string, items []corev1.KeyToPath, optional *bool, mode *int32) (map[string]File, error) {
	cm, ok := s.Objects.ConfigMap(s.Pod.Namespace, name)
	if !ok {
		return missing("ConfigMap", s.Pod.Namespace, name, optional)
	}
	data := map[string][]byte{}
	for k, v := range cm.Data {
		data[k] = []byte(v)
	}
	maps.Copy(data, cm.BinaryData)
	return s.keys(data, items, optional, mode)
}

func (s *Set) secret(name string, items []corev1.KeyToPath, optional *bool, mode *int32) (map[string]File, error) {
	sec, ok := s.Objects.Secret(s.Pod.Namespace, name)
	if !ok {
		return missing("Secret", s.Pod.Namespace, name, optional)
	}
	data := maps.Clone(sec.Data)
	if data == nil {
		data = map[string][]byte{}
	}
	for k, v := range sec.StringData {
		data[k] = []byte(v)
	}
	return s.keys(data, items, optional, mode)
}

func missing(kind, namespace, name string, optional *bool) (map[string]File, error) {
	if optional != nil && *optional {
		return nil, nil
	}
	return nil, fmt.Errorf("%s %s/%s is not in the mesh's directory", kind, namespace, name)
}

// keys shows all keys as files, or the listed ones by their paths.
func (s *Set) keys(data map[string][]byte, items []corev1.KeyToPath, optional *bool, mode *int32) (map[string]File, error) {
	files := map[string]File{}
	for k := range data {
		if msgs := validation.IsConfigMapKey(k); len(msgs) > 0 {
			return nil, fmt.Errorf("key %q: %s", k, msgs[0])
		}
	}
	if len(items) == 0 {
		for _, k := range slices.Sorted(maps.Keys(data)) {
			files[k] = s.file(data[k], mode)
		}
		return files, nil
	}
	for _, it := range items {
		content, ok := data[it.Key]
		if !ok {
			if optional != nil && *optional {
				continue
			}
			return nil, fmt.Errorf("there is no key %q", it.Key)
		}
		files[filepath.Clean(it.Path)] = s.file(content, orDefault(it.Mode, mode))
	}
	return files, nil
}

func (s *Set) downward(items []corev1.DownwardAPIVolumeFile, mode *int32) (map[string]File, error) {
	files := map[string]File{}
	for _, it := range items {
		var value string
		var err error
		switch {
		case it.FieldRef != nil:
			value, err = s.Fields.Field(it.FieldRef.FieldPath)
		case it.ResourceFieldRef != nil:
			value, err = s.Fields.Resource(it.ResourceFieldRef)
		default:
			err = errors.New("neither fieldRef nor resourceFieldRef is given")
		}
		if err != nil {
			return nil, fmt.Errorf("item %s: %w", it.Path, err)
		}
		files[filepath.Clean(it.Path)] = s.file([]byte(value), orDefault(it.Mode, mode))
	}
	return files, nil
}

// token gives the token signed before until 80 % of its lifetime have passed, as a kubelet does.
func (s *Set) token(volume string, src *corev1.ServiceAccountTokenProjection, mode *int32) (map[string]File, error) {
	key := volume + "/" + src.Path
	t, ok := s.tokens[key]
	if now := s.Now(); !ok || !now.Before(t.renew) {
		ttl := token.DefaultTTL
		if src.ExpirationSeconds != nil {
			ttl = max(time.Duration(*src.ExpirationSeconds)*time.Second, token.MinTTL)
		}
		audience := src.Audience
		if audience == "" {
			audience = token.DefaultAudience
		}
		raw, err := s.Tokens.Sign(s.Subject, []string{audience}, ttl)
		if err != nil {
			return nil, err
		}
		t = signed{raw: raw, renew: now.Add(ttl * 4 / 5)}
		s.tokens[key] = t
	}
	f := s.file([]byte(t.raw), mode)
	s.restrict(volume, &f)
	return map[string]File{filepath.Clean(src.Path): f}, nil
}

func (s *Set) file(content []byte, mode *int32) File {
	const defaultMode = 0o644
	f := File{Content: content, Mode: defaultMode, GID: s.fsGroup()}
	if mode != nil {
		f.Mode = fs.FileMode(*mode) & fs.ModePerm
	}
	if f.GID != 0 {
		f.Mode |= 0o440
	}
	return f
}

func orDefault(mode, def *int32) *int32 {
	if mode != nil {
		return mode
	}
	return def
}
