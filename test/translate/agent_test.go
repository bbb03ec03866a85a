package translate

import (
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/agent/proxyconfig"
)

// readInVain are fields of a ProxyConfig that the agent reads and that have no effect all the same, each with
// the reason. All below them is meant too.
var readInVain = map[string]string{
	"statNameLength": "Envoy has no such limit any longer",
}

// TestWhatTheAgentReadsIsNotReported sets each field of a ProxyConfig: where the agent's configuration
// changes, the user is not told that the field has no effect. The two sides have no code in common.
func TestWhatTheAgentReadsIsNotReported(t *testing.T) {
	w := walked{kind: "MeshConfig", spec: &meshconfig.MeshConfig{}}
	d := (&meshconfig.ProxyConfig{}).ProtoReflect().Descriptor()
	root := w.spec.ProtoReflect().Descriptor().Fields().ByJSONName("defaultConfig")
	world := newWorld(t)
	read := map[string]bool{}
	leaves(d, nil, []protoreflect.FullName{d.FullName()}, func(path []protoreflect.FieldDescriptor) {
		name := strings.TrimPrefix(pathOf("", path), ".")
		without := &meshconfig.ProxyConfig{}
		parent(without.ProtoReflect(), path)
		before := agentConfig(t, without)
		samples, _ := values(name, path[len(path)-1])
		for _, value := range samples {
			pc := set(without, path, value)
			if pc == nil || reflect.DeepEqual(agentConfig(t, pc), before) {
				continue
			}
			top, _, _ := strings.Cut(name, ".")
			read[top] = true
			mesh := &meshconfig.MeshConfig{DefaultConfig: pc.(*meshconfig.ProxyConfig)}
			_, told := reported(world.effect(t, w.document(t, mesh)).problems, append([]protoreflect.FieldDescriptor{root}, path...))
			if _, vain := readInVain[top]; (told != "") != vain {
				t.Errorf("%s=%s is read by the agent, and that it has no effect is told: %q", name, value, told)
			}
			return
		}
	})
	if !read["drainDuration"] || !read["connectionSettings"] {
		t.Errorf("of the agent's fields only %v are seen", read)
	}
	for name := range readInVain {
		if !read[name] {
			t.Errorf("the agent does not read %s", name)
		}
	}
}

// agentConfig gives what the agent makes of a ProxyConfig, and of one that it refuses its defaults.
func agentConfig(t *testing.T, pc proto.Message) *proxyconfig.Config {
	t.Helper()
	layer := proxyconfig.Layer{Source: "test"}
	if pc != nil {
		data, err := protojson.Marshal(pc)
		if err != nil {
			t.Fatal(err)
		}
		layer.Text = string(data)
	}
	c, err := proxyconfig.Resolve(layer)
	if err != nil {
		return agentConfig(t, nil)
	}
	c.Raw = nil // holds all fields, read or not
	return c
}
