package analyze

import (
	"cmp"

	"github.com/pilothouse-mesh/pilothouse/pilot/source/kinds"
)

// texts are the files, and how those of a running mesh are read.
type texts struct {
	files      map[string][]byte
	namespaces map[string]string // of objects that name none, by file
	read       func(name string) ([]byte, error)
}

func textsOf(files []File) *texts {
	t := &texts{files: map[string][]byte{}, namespaces: map[string]string{}}
	for _, f := range files {
		t.files[f.Name], t.namespaces[f.Name] = f.Data, cmp.Or(f.Namespace, kinds.DefaultNamespace)
	}
	return t
}

// load gives the text of a file, nil where nobody reads it.
func (t *texts) load(name string) ([]byte, error) {
	if data, known := t.files[name]; known || t.read == nil {
		return data, nil
	}
	return t.read(name)
}
