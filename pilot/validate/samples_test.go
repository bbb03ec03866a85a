package validate_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
	"github.com/pilothouse-mesh/pilothouse/pilot/validate"
)

func TestSamplesAreValid(t *testing.T) {
	err := filepath.WalkDir("../../samples", func(path string, e os.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".yaml" {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		objects, _ := file.Decode(data, path)
		for _, o := range objects {
			for _, p := range validate.Object(o) {
				t.Errorf("%v", p)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
