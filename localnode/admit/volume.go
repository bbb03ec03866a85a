package admit

import (
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// volumes gives the names of the pod's volumes.
func (c *checker) volumes(volumes []corev1.Volume, path *field.Path) map[string]bool {
	names := map[string]bool{}
	for i := range volumes {
		v, at := &volumes[i], path.Index(i)
		c.required(at.Child("name"), v.Name, validation.IsDNS1123Label)
		c.unique(at.Child("name"), v.Name, names)
		c.source(&v.VolumeSource, at)
	}
	return names
}

func (c *checker) source(v *corev1.VolumeSource, path *field.Path) {
	switch {
	case v.HostPath != nil:
		at := path.Child("hostPath", "path")
		c.required(at, v.HostPath.Path, noBackSteps)
		if !filepath.IsAbs(v.HostPath.Path) {
			c.invalid(at, v.HostPath.Path, "must be absolute")
		}
	case v.ConfigMap != nil:
		at := path.Child("configMap")
		c.required(at.Child("name"), v.ConfigMap.Name, validation.IsDNS1123Subdomain)
		c.items(v.ConfigMap.Items, at.Child("items"))
		c.mode(v.ConfigMap.DefaultMode, at.Child("defaultMode"))
	case v.Secret != nil:
		at := path.Child("secret")
		c.required(at.Child("secretName"), v.Secret.SecretName, validation.IsDNS1123Subdomain)
		c.items(v.Secret.Items, at.Child("items"))
		c.mode(v.Secret.DefaultMode, at.Child("defaultMode"))
	case v.DownwardAPI != nil:
		c.downward(v.DownwardAPI.Items, path.Child("downwardAPI", "items"))
		c.mode(v.DownwardAPI.DefaultMode, path.Child("downwardAPI", "defaultMode"))
	case v.Projected != nil:
		c.mode(v.Projected.DefaultMode, path.Child("projected", "defaultMode"))
		for i := range v.Projected.Sources {
			c.projection(&v.Projected.Sources[i], path.Child("projected", "sources").Index(i))
		}
	}
}

func (c *checker) projection(p *corev1.VolumeProjection, path *field.Path) {
	switch {
	case p.ConfigMap != nil:
		c.required(path.Child("configMap", "name"), p.ConfigMap.Name, validation.IsDNS1123Subdomain)
		c.items(p.ConfigMap.Items, path.Child("configMap", "items"))
	case p.Secret != nil:
		c.required(path.Child("secret", "name"), p.Secret.Name, validation.IsDNS1123Subdomain)
		c.items(p.Secret.Items, path.Child("secret", "items"))
	case p.DownwardAPI != nil:
		c.downward(p.DownwardAPI.Items, path.Child("downwardAPI", "items"))
	case p.ServiceAccountToken != nil:
		c.required(path.Child("serviceAccountToken", "path"), p.ServiceAccountToken.Path, filePath)
	}
}

func (c *checker) items(items []corev1.KeyToPath, path *field.Path) {
	for i, it := range items {
		c.required(path.Index(i).Child("key"), it.Key, validation.IsConfigMapKey)
		c.required(path.Index(i).Child("path"), it.Path, filePath)
		c.mode(it.Mode, path.Index(i).Child("mode"))
	}
}

func (c *checker) downward(items []corev1.DownwardAPIVolumeFile, path *field.Path) {
	for i, it := range items {
		c.required(path.Index(i).Child("path"), it.Path, filePath)
		c.mode(it.Mode, path.Index(i).Child("mode"))
	}
}

func (c *checker) mode(mode *int32, path *field.Path) {
	if mode != nil && (*mode < 0 || *mode > 0o777) {
		c.invalid(path, *mode, "must be between 0 and 0777 (octal)")
	}
}

// mounts checks that each mount names a volume, and that no two are at one place.
func (c *checker) mounts(mounts []corev1.VolumeMount, volumes map[string]bool, path *field.Path) {
	places := map[string]bool{}
	for i, m := range mounts {
		at := path.Index(i)
		if !volumes[m.Name] {
			c.errs = append(c.errs, field.NotFound(at.Child("name"), m.Name))
		}
		c.required(at.Child("mountPath"), m.MountPath, mountPath)
		c.unique(at.Child("mountPath"), m.MountPath, places)
		c.optional(at.Child("subPath"), m.SubPath, localPath)
		c.optional(at.Child("subPathExpr"), m.SubPathExpr, localPath)
		if m.SubPath != "" && m.SubPathExpr != "" {
			c.invalid(at.Child("subPathExpr"), m.SubPathExpr, "must not be given beside subPath")
		}
	}
}

func mountPath(path string) []string {
	if strings.ContainsAny(path, ":\x00") {
		return []string{"must not have ':' or NUL"}
	}
	return nil
}

// localPath is relative and does not go up.
func localPath(path string) []string {
	if strings.ContainsRune(path, 0) || filepath.IsAbs(path) {
		return []string{"must be a relative path"}
	}
	return noBackSteps(path)
}

// filePath is the path of a file that is written into a volume. What begins with ".." is the
// atomic writer's own.
func filePath(path string) []string {
	if strings.HasPrefix(path, "..") {
		return []string{"must not begin with '..'"}
	}
	if filepath.Clean(path) == "." {
		return []string{"must name a file"}
	}
	return localPath(path)
}

func noBackSteps(path string) []string {
	if slices.Contains(strings.Split(filepath.ToSlash(path), "/"), "..") {
		return []string{"must not have an element '..'"}
	}
	return nil
}
