package runtime

import (
	"context"
	"path"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
)

// imported imports an image if a tarball holds it, and tells whether it is there.
func (i *Images) imported(ctx context.Context, image string) (bool, error) {
	if err := i.load(ctx, image); err != nil {
		return false, err
	}
	return i.client.HasImage(ctx, image)
}

// namesake gives the image among the tarballs whose name without hub and folder is that of another
// one, "" for none. One with the same tag comes first.
func (i *Images) namesake(image string) string {
	wanted, err := name.ParseReference(image)
	if err != nil {
		return ""
	}
	var tags []string
	for _, a := range i.archives {
		tags = append(tags, a.tags...)
	}
	slices.Sort(tags)
	found := ""
	for _, tag := range tags {
		ref, err := name.ParseReference(tag)
		if err != nil || path.Base(ref.Context().RepositoryStr()) != path.Base(wanted.Context().RepositoryStr()) {
			continue
		}
		if ref.Identifier() == wanted.Identifier() {
			return tag
		}
		if found == "" {
			found = tag
		}
	}
	return found
}
