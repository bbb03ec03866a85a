package runtime

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"golang.org/x/sync/errgroup"
)

// ctrNamespace is the containerd namespace that CRI looks into.
const ctrNamespace = "k8s.io"

// Import reads image tarballs into containerd, all at once.
func Import(ctx context.Context, dir string, tarballs []string) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, t := range tarballs {
		g.Go(func() error { return importOne(ctx, dir, t) })
	}
	return g.Wait()
}

func importOne(ctx context.Context, dir, file string) error {
	cmd := exec.CommandContext(ctx, "ctr", "--address", Socket(dir), "--namespace", ctrNamespace, "images", "import", file)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("import image %s: %w: %s", file, err, bytes.TrimSpace(out))
	}
	return nil
}

// Images finds the image for a name that a manifest uses.
type Images struct {
	dir     string
	aliases map[string]string
	client  *Client
}

// NewImages looks into the containerd of dir; aliases lead a manifest's image to another one.
func NewImages(dir string, aliases map[string]string, client *Client) *Images {
	return &Images{dir: dir, aliases: aliases, client: client}
}

const pullTimeout = 5 * time.Minute

// Resolve gives the name of an imported image: the image itself, the one that an alias names, or
// the image pulled from its registry. The error names the image and says what to do.
func (i *Images) Resolve(ctx context.Context, image string) (string, error) {
	for _, candidate := range []string{image, i.aliases[image]} {
		if candidate == "" {
			continue
		}
		have, err := i.client.HasImage(ctx, candidate)
		if err != nil {
			return "", err
		}
		if have {
			return candidate, nil
		}
	}
	if err := i.pull(ctx, image); err != nil {
		have, listErr := i.client.ListImages(ctx)
		if listErr != nil {
			return "", listErr
		}
		slices.Sort(have)
		return "", fmt.Errorf("image %s is not among the imported ones (%s), no alias leads to one, and it cannot be pulled: %w; build it with `make images`, import its tarball, or add an alias",
			image, strings.Join(have, ", "), err)
	}
	return image, nil
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

// Tags lists the names of the images in a tarball, e.g. pilothouse/proxy:dev.
func Tags(file string) ([]string, error) {
	manifest, err := tarball.LoadManifest(func() (io.ReadCloser, error) { return os.Open(file) })
	if err != nil {
		return nil, fmt.Errorf("%s is no image tarball: %w", filepath.Base(file), err)
	}
	var tags []string
	for _, m := range manifest {
		tags = append(tags, m.RepoTags...)
	}
	return tags, nil
}
