package validate

import (
	"maps"
	"slices"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// stickySplit checks the annotation of a VirtualService; what is wrong with it leaves the rest in effect.
func (c *checker) stickySplit() {
	text, set := c.object.Annotations[model.AnnotationStickySplit]
	if !set {
		return
	}
	field := "metadata.annotations[" + model.AnnotationStickySplit + "]"
	split, err := model.ParseStickySplit(text)
	switch {
	case err != nil:
		c.warn(field, "%v; until then requests are split at random", err)
	case !isHeaderName(split.Header) && !isHeaderName(split.Cookie):
		c.fail(field, "%q is no name of a header or cookie", split.Header+split.Cookie)
	}
}

// subsetFallback checks the annotation of a DestinationRule.
func (c *checker) subsetFallback(dr *networking.DestinationRule) {
	text, set := c.object.Annotations[model.AnnotationSubsetFallback]
	if !set {
		return
	}
	field := "metadata.annotations[" + model.AnnotationSubsetFallback + "]"
	fallback, err := model.ParseSubsetFallback(text)
	if err != nil {
		c.warn(field, "%v; until then no subset falls back", err)
	}
	known := func(name string) bool {
		return slices.ContainsFunc(dr.GetSubsets(), func(s *networking.Subset) bool { return s.GetName() == name })
	}
	for _, from := range slices.Sorted(maps.Keys(fallback)) {
		for _, name := range []string{from, fallback[from]} {
			if !known(name) && (name != model.AllEndpoints || name == from) {
				c.warn(field, "there is no subset %q in the object; add it, or name another", name)
			}
		}
	}
}
