// Package operator turns the settings of an installation into releases of charts: a profile, files of kind
// IstioOperator over it, and single values over those. It renders what pilotctl applies or prints, and
// names each field that has no effect.
package operator

import (
	"cmp"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"helm.sh/helm/v4/pkg/strvals"
	"sigs.k8s.io/yaml"

	"github.com/pilothouse-mesh/pilothouse/deploy/profiles"
	"github.com/pilothouse-mesh/pilothouse/pilot/yamldoc"
)

// Settings are what a user says about an installation.
type Settings struct {
	Profile string // "" for that of the files, else the default one
	Files   []File
	Set     []string // PATH=VALUE below spec, later ones win
	// Revision, Hub and Tag win over all else where they are not empty.
	Revision, Hub, Tag string
}

// File is a file of kind IstioOperator.
type File struct {
	Name string // in errors
	Text []byte
}

// document is an IstioOperator as it is merged: what is not said is not there.
type document struct {
	APIVersion string         `json:"apiVersion"`
	Kind       string         `json:"kind"`
	Metadata   metadata       `json:"metadata"`
	Spec       map[string]any `json:"spec"`
}

type metadata struct {
	Name string `json:"name,omitempty"`
	// Namespace says where Istio's operator kept the file; nothing depends on it.
	Namespace string `json:"namespace,omitempty"`
}

// The kind of the files.
const (
	apiVersion = "install.istio.io/v1alpha1"
	kind       = "IstioOperator"
)

// merged gives the settings as one document.
func (s Settings) merged() (*document, error) {
	var over []*document
	for _, f := range s.Files {
		d, err := read(f)
		if err != nil {
			return nil, err
		}
		over = append(over, d...)
	}
	out := &document{APIVersion: apiVersion, Kind: kind, Spec: map[string]any{}}
	given := map[string]any{}
	for _, d := range over {
		if d.Metadata.Name != "" {
			out.Metadata.Name = d.Metadata.Name
		}
		given = merge(given, d.Spec)
	}
	// A list that is set by an index has to be there, so single values are laid over everything, and their
	// profile is looked for beforehand.
	name := s.Profile
	if said, ok := given["profile"].(string); ok && name == "" {
		name = said
	}
	for _, set := range s.Set {
		if said, ok := strings.CutPrefix(set, "profile="); ok && s.Profile == "" {
			name = said
		}
	}
	if name == "" {
		name = profiles.Default
	}
	for _, profile := range []string{profiles.Default, name} {
		text, err := profiles.Get(profile)
		if err != nil {
			return nil, err
		}
		d, err := read(File{Name: "profile " + profile, Text: text})
		if err != nil {
			return nil, err
		}
		out.Spec = merge(out.Spec, d[0].Spec)
	}
	out.Spec = merge(out.Spec, given)
	for _, set := range s.Set {
		if err := assign(out.Spec, set); err != nil {
			return nil, err
		}
	}
	out.Spec["profile"] = name
	for field, value := range map[string]string{"revision": s.Revision, "hub": s.Hub, "tag": s.Tag} {
		if value != "" {
			out.Spec[field] = value
		}
	}
	return out, nil
}

// Dump gives the settings as one file, with the profile's and all others in it.
func (s Settings) Dump() ([]byte, error) {
	d, err := s.merged()
	if err != nil {
		return nil, err
	}
	text, err := yaml.Marshal(d)
	return []byte(strings.Replace(string(text), "metadata: {}\n", "", 1)), err
}

// Record gives the settings as a file that says what is not the profile's, so that a later version of the
// profile counts.
func (s Settings) Record() (name string, text []byte, err error) {
	d, err := s.merged()
	if err != nil {
		return "", nil, err
	}
	beneath, err := Settings{Profile: d.Spec["profile"].(string)}.merged()
	if err != nil {
		return "", nil, err
	}
	profile := d.Spec["profile"]
	d.Spec = beyond(beneath.Spec, d.Spec)
	d.Spec["profile"] = profile
	d.Metadata.Name = cmp.Or(d.Metadata.Name, DefaultName)
	text, err = yaml.Marshal(d)
	return d.Metadata.Name, text, err
}

// beyond gives what has to be laid over base to have all: what merge takes back.
func beyond(base, all map[string]any) map[string]any {
	out := map[string]any{}
	for k, v := range all {
		former, there := base[k]
		inner, isMap := v.(map[string]any)
		formerMap, wasMap := former.(map[string]any)
		list, isList := v.([]any)
		formerList, wasList := former.([]any)
		switch {
		case !there:
			out[k] = v
		case isMap && wasMap:
			if more := beyond(formerMap, inner); len(more) > 0 {
				out[k] = more
			}
		case isList && wasList && gatewayLists[k]:
			if more := beyondNamed(formerList, list); len(more) > 0 {
				out[k] = more
			}
		case !reflect.DeepEqual(v, former):
			out[k] = v
		}
	}
	return out
}

// beyondNamed is beyond for lists of what has a name.
func beyondNamed(base, all []any) []any {
	var out []any
	for _, item := range all {
		later, _ := item.(map[string]any)
		former := map[string]any{}
		for _, b := range base {
			if m, _ := b.(map[string]any); m["name"] == later["name"] {
				former = m
			}
		}
		if more := beyond(former, later); len(more) > 0 {
			more["name"] = later["name"]
			out = append(out, more)
		}
	}
	return out
}

// gatewayLists are the lists whose items are known by their names.
var gatewayLists = map[string]bool{"ingressGateways": true, "egressGateways": true}

// read decodes the documents of a file.
func read(f File) ([]*document, error) {
	var out []*document
	err := yamldoc.Each(f.Text, func(text yamldoc.Document) error {
		if text.Line == 0 {
			return nil
		}
		d := &document{}
		if err := yaml.UnmarshalStrict(text.Text, d); err != nil {
			return text.In(f.Name, err)
		}
		if d.APIVersion != apiVersion || d.Kind != kind {
			return text.In(f.Name, fmt.Errorf("it is a %s of %q; an installation is described by a %s of %s", d.Kind, d.APIVersion, kind, apiVersion))
		}
		out = append(out, d)
		return nil
	})
	return out, err
}

// merge lays over what is said later: maps field by field, gateways by their names, all else as a whole. It
// changes neither.
func merge(base, over map[string]any) map[string]any {
	out := map[string]any{}
	for k, v := range base {
		out[k] = v
	}
	for k, v := range over {
		inner, isMap := v.(map[string]any)
		former, wasMap := out[k].(map[string]any)
		list, isList := v.([]any)
		formerList, wasList := out[k].([]any)
		switch {
		case isMap && wasMap:
			out[k] = merge(former, inner)
		case isList && wasList && gatewayLists[k]:
			out[k] = mergeNamed(formerList, list)
		default:
			out[k] = v
		}
	}
	return out
}

// mergeNamed merges lists of what has a name.
func mergeNamed(base, over []any) []any {
	out := append([]any(nil), base...)
	for _, item := range over {
		later, _ := item.(map[string]any)
		at := -1
		for i, b := range out {
			if former, _ := b.(map[string]any); former != nil && former["name"] == later["name"] {
				at = i
			}
		}
		if at < 0 {
			out = append(out, item)
			continue
		}
		out[at] = merge(out[at].(map[string]any), later)
	}
	return out
}

// named is Istio's way to say which item of a list is meant.
var named = regexp.MustCompile(`^(.*?)\[name:([^\]]+)\](.*)$`)

// assign sets one PATH=VALUE, as Helm's --set does. An item of a list is meant by [INDEX] or [name:NAME].
func assign(spec map[string]any, set string) error {
	path, value, ok := strings.Cut(set, "=")
	if !ok || path == "" {
		return fmt.Errorf("--set %s: it has to be PATH=VALUE", set)
	}
	for {
		m := named.FindStringSubmatch(path)
		if m == nil {
			break
		}
		at, err := position(spec, m[1], m[2])
		if err != nil {
			return fmt.Errorf("--set %s: %w", set, err)
		}
		path = m[1] + "[" + strconv.Itoa(at) + "]" + m[3]
	}
	// A comma begins another path for Helm, and is a part of the value for Istio.
	escaped := strings.ReplaceAll(value, ",", `\,`)
	if strings.HasPrefix(value, "{") {
		escaped = value
	}
	if err := strvals.ParseInto(path+"="+escaped, spec); err != nil {
		return fmt.Errorf("--set %s: %w", set, err)
	}
	return nil
}

// position finds an item by its name in a list of a path without indexes.
func position(spec map[string]any, path, name string) (int, error) {
	var at any = spec
	for _, field := range strings.Split(path, ".") {
		m, _ := at.(map[string]any)
		at = m[field]
	}
	list, _ := at.([]any)
	for i, item := range list {
		if m, _ := item.(map[string]any); m["name"] == name {
			return i, nil
		}
	}
	return 0, fmt.Errorf("%s has no item of name %s", path, name)
}
