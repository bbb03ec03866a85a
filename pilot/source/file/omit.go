package file

import (
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// omission tells what of a value is left out: all of it, or some of a mapping's entries. It reaches
// through lists to their items. A nil omission leaves out nothing.
type omission struct {
	all     bool
	entries map[string]*omission
	// unread is left out of what has a name that nobody reads; it is for annotations.
	unread *omission
}

func (o *omission) whole() bool { return o != nil && o.all }

// entry gives what is left out of a mapping's entry.
func (o *omission) entry(key []byte) *omission {
	switch {
	case o == nil:
		return nil
	case o.unread != nil && !model.KeepsAnnotation(string(key)):
		return o.unread
	}
	return o.entries[string(key)]
}

// bookkeeping gives what API servers, kubelets and controllers write into an object, most of it
// often, and that decides nothing about a proxy. It leaves what tells that a node refuses a pod, and who wrote of a
// machine's health when.
func bookkeeping() *omission {
	all := func(names ...string) map[string]*omission {
		entries := map[string]*omission{}
		for _, name := range names {
			entries[name] = &omission{all: true}
		}
		return entries
	}
	metadata := all("generation", "managedFields", "resourceVersion", "selfLink", "uid")
	metadata["annotations"] = &omission{unread: &omission{all: true}}
	status := all("containerStatuses", "ephemeralContainerStatuses", "initContainerStatuses", "hostIP", "hostIPs",
		"observedGeneration", "qosClass", "startTime")
	status["conditions"] = &omission{entries: all("lastTransitionTime", "message", "observedGeneration")}
	return &omission{entries: map[string]*omission{"metadata": {entries: metadata}, "status": {entries: status}}}
}
