package runtime

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// ctrNamespace is the containerd namespace that CRI looks into.
const ctrNamespace = "k8s.io"

func importOne(ctx context.Context, dir, file string) error {
	cmd := exec.CommandContext(ctx, "ctr", "--address", Socket(dir), "--namespace", ctrNamespace, "images", "import", file)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("import image %s: %w: %s", file, err, bytes.TrimSpace(out))
	}
	return nil
}

// archive is one image tarball, which is imported when the first of its images is asked for.
type archive struct {
	file string
	tags []string

	mu       sync.Mutex
	imported bool
}

// Images finds the image for a name that a manifest uses.
type Images struct {
	dir      string
	aliases  func() (map[string]string, error)
	client   *Client
	archives []*archive
}

// NewImages looks into tarballs for the containerd of dir; aliases gives what leads a manifest's image
// to another one at present, nil nothing.
func NewImages(dir string, tarballs []string, aliases func() (map[string]string, error), client *Client) (*Images, error) {
	i := &Images{dir: dir, aliases: aliases, client: client}
	for _, file := range tarballs {
		tags, err := Tags(file)
		if err != nil {
			return nil, err
		}
		i.archives = append(i.archives, &archive{file: file, tags: tags})
	}
	return i, nil
}

// load imports the tarball that holds the image, if one does. Those who ask for one that is being
// imported wait for it.
func (i *Images) load(ctx context.Context, image string) error {
	for _, a := range i.archives {
		if !slices.Contains(a.tags, full(image)) {
			continue
		}
		return a.load(ctx, i, image)
	}
	return nil
}

// importTimeout bounds an import. It has minutes on a slow disk, and ends where containerd does not answer: who takes
// the mesh down waits for it.
const importTimeout = 5 * time.Minute

// load imports the tarball once. Others wait for it as well: it does not end with the first who
// asked. What failed is tried again by the next who still waits.
func (a *archive) load(ctx context.Context, i *Images, image string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.imported {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), importTimeout)
	defer cancel()
	if err := importOne(ctx, i.dir, a.file); err != nil {
		return err
	}
	if err := i.client.WaitImage(ctx, image); err != nil {
		return err
	}
	a.imported = true
	return nil
}

const pullTimeout = 5 * time.Minute

// Resolve gives the name of an imported image. That is the image itself, the one that an alias names, or
// the image pulled from its registry. Where that is not reached, it is one that differs in hub and tag
// only. The error names the image and says what to do.
func (i *Images) Resolve(ctx context.Context, image string) (string, error) {
	if have, err := i.imported(ctx, image); err != nil || have {
		return image, err
	}
	alias, err := i.alias(image)
	if err != nil {
		return "", err
	}
	if alias != "" {
		if have, err := i.imported(ctx, alias); err != nil || have {
			return alias, err
		}
	}
	if err := i.pull(ctx, image); err != nil {
		if same := i.namesake(image); same != "" {
			if have, err := i.imported(ctx, same); err != nil || have {
				return same, err
			}
		}
		var have []string
		for _, a := range i.archives {
			have = append(have, a.tags...)
		}
		slices.Sort(have)
		for i := range have {
			have[i] = strings.TrimPrefix(strings.TrimPrefix(have[i], "index."), "docker.io/")
		}
		return "", fmt.Errorf("image %s is not among the imported ones, no alias leads to one, and it cannot be pulled: %w; build it with `make images` or add an alias to one of %s",
			image, err, strings.Join(have, ", "))
	}
	return image, nil
}

// User gives the user whom an image says that it runs as, by number; ok is false where it names
// none, or one by name.
func (i *Images) User(ctx context.Context, image string) (uid int64, ok bool) {
	r, err := i.client.images.ImageStatus(ctx, &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: image}})
	if err != nil || r.GetImage().GetUid() == nil {
		return 0, false
	}
	return r.GetImage().GetUid().GetValue(), true
}

// alias gives what an image is called here, "" where no alias names it. An alias without a tag
// stands for all tags; registry and folder may be left out as in any image's name.
func (i *Images) alias(image string) (string, error) {
	if i.aliases == nil {
		return "", nil
	}
	aliases, err := i.aliases()
	if err != nil || aliases[image] != "" {
		return aliases[image], err
	}
	ref, err := name.ParseReference(image)
	if err != nil {
		return "", nil // a manifest may say anything; no alias names it
	}
	all := ""
	for _, from := range slices.Sorted(maps.Keys(aliases)) {
		if named, err := name.ParseReference(from); err == nil && named.Name() == ref.Name() {
			return aliases[from], nil
		}
		if repo, err := name.NewRepository(from); err == nil && repo.Name() == ref.Context().Name() {
			all = aliases[from]
		}
	}
	return all, nil
}

// pull fetches on the host's network, for containerd's own has no way out.
func (i *Images) pull(ctx context.Context, image string) error {
	ctx, cancel := context.WithTimeout(ctx, pullTimeout)
	defer cancel()
	ref, err := name.ParseReference(image)
	if err != nil {
		return err
	}
	img, err := remote.Image(ref, remote.WithContext(ctx))
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(i.dir, "pull-*.tar")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if err := tarball.Write(ref, img, f); err != nil {
		return err
	}
	if err := importOne(ctx, i.dir, f.Name()); err != nil {
		return err
	}
	return i.client.WaitImage(ctx, image)
}

// Tags lists the names of the images in a tarball, an OCI layout or one of Docker's, in full.
func Tags(file string) ([]string, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read image tarball: %w", err)
	}
	defer f.Close()
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if err != nil {
			return nil, fmt.Errorf("%s is no image tarball: it holds neither index.json nor manifest.json", file)
		}
		switch h.Name {
		case "index.json":
			return indexTags(file, r)
		case "manifest.json":
			return manifestTags(file, r)
		}
	}
}

// indexTags reads an OCI layout's names as containerd does: its own annotation, then the standard one.
func indexTags(file string, r io.Reader) ([]string, error) {
	index, err := v1.ParseIndexManifest(r)
	if err != nil {
		return nil, fmt.Errorf("%s: index.json: %w", file, err)
	}
	var tags []string
	for _, m := range index.Manifests {
		for _, key := range []string{"io.containerd.image.name", "org.opencontainers.image.ref.name"} {
			if tag, ok := m.Annotations[key]; ok {
				tags = append(tags, full(tag))
				break
			}
		}
	}
	return tags, nil
}

func manifestTags(file string, r io.Reader) ([]string, error) {
	var manifest tarball.Manifest
	if err := json.NewDecoder(r).Decode(&manifest); err != nil {
		return nil, fmt.Errorf("%s: manifest.json: %w", file, err)
	}
	var tags []string
	for _, m := range manifest {
		for _, tag := range m.RepoTags {
			tags = append(tags, full(tag))
		}
	}
	return tags, nil
}

// full gives an image's name with its registry and tag, which short names leave out.
func full(image string) string {
	ref, err := name.ParseReference(image)
	if err != nil {
		return image // a manifest may say anything; it is found nowhere
	}
	return ref.Name()
}
