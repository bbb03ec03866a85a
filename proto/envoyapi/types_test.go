package envoyapi

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// Whoever takes a newer library adds its new packages.
func TestAllExtensionsAreKnown(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/envoyproxy/go-control-plane/envoy").Output()
	if err != nil {
		t.Fatal(err)
	}
	root := strings.TrimSpace(string(out))
	imported, err := os.ReadFile("types.go")
	if err != nil {
		t.Fatal(err)
	}
	version3 := regexp.MustCompile(`/v3(alpha)?$`)
	if err := filepath.WalkDir(filepath.Join(root, "extensions"), func(path string, e fs.DirEntry, err error) error {
		dir := filepath.Dir(path)
		if err != nil || filepath.Ext(path) != ".go" || !version3.MatchString(dir) {
			return err
		}
		if pkg := "github.com/envoyproxy/go-control-plane/envoy" + strings.TrimPrefix(dir, root); !strings.Contains(string(imported), `"`+pkg+`"`) {
			t.Errorf("types.go does not import %s", pkg)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// Istio's documents write extensions as either TypedStruct.
func TestTypedStructsAreKnown(t *testing.T) {
	for _, name := range []protoreflect.FullName{"udpa.type.v1.TypedStruct", "xds.type.v3.TypedStruct"} {
		if _, err := protoregistry.GlobalTypes.FindMessageByName(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
