package model

import (
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	networking "istio.io/api/networking/v1alpha3"
)

func TestDurationsInGoForm(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"5m": 5 * time.Minute, "30ms": 30 * time.Millisecond, "1h": time.Hour, "1h30m": 90 * time.Minute, "0.5s": time.Second / 2,
		"0": 0, "5s": 5 * time.Second, "-1.5s": -1500 * time.Millisecond, "-10ms": -10 * time.Millisecond, "1us": time.Microsecond,
		"2540400h0m0.000000001s": 2540400*time.Hour + 1,
	} {
		in := "{\n \"http\": [ {},\n{\"timeout\" :\n  \"" + text + "\", \"name\": \"5m\"}]\n}"
		vs := &networking.VirtualService{}
		out, err := SecondsJSON([]byte(in), vs.ProtoReflect().Descriptor())
		if err == nil {
			err = protojson.Unmarshal(out, vs)
		}
		if err != nil {
			t.Errorf("%s: %v in %s", text, err, out)
			continue
		}
		if h := vs.GetHttp()[1]; h.GetTimeout().AsDuration() != want || h.GetName() != "5m" {
			t.Errorf("%s: %v", text, h)
		}
		if strings.Count(string(out), "\n") != strings.Count(in, "\n") {
			t.Errorf("%s: lines moved: %s", text, out)
		}
	}
}

func TestWrongDurations(t *testing.T) {
	for _, text := range []string{`"soon"`, `"5"`, `"5 s"`, `""`, `5`, `true`, `{"seconds":5}`, `"300000h0m0s0m9999999999999h"`} {
		_, err := SecondsJSON([]byte(`{"http":[{"retries":{"perTryTimeout":`+text+`}}]}`), (&networking.VirtualService{}).ProtoReflect().Descriptor())
		var wrong *DurationError
		if !errors.As(err, &wrong) || wrong.Field != "http[0].retries.perTryTimeout" || !strings.Contains(err.Error(), "1h30m") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// Both names of a field count, and what is in no field of the message is left alone.
func TestOnlyDurationsChange(t *testing.T) {
	for in, want := range map[string]string{
		`{"http":[{"retries":{"per_try_timeout":"1m"}}]}`: `{"http":[{"retries":{"per_try_timeout":"60.000000000s"}}]}`,
		`{"http":[{"timeout":null}]}`:                     `{"http":[{"timeout":null}]}`,
		`{"timeout":"1m","hosts":["1m"]}`:                 `{"timeout":"1m","hosts":["1m"]}`,
		`{"http":"1m"}`:                                   `{"http":"1m"}`,
		`{"http":[[{"timeout":"1m"}]]}`:                   `{"http":[[{"timeout":"1m"}]]}`,
		`[]`:                                              `[]`,
		strings.Repeat("[", 1<<20):                        strings.Repeat("[", 1<<20),
	} {
		out, err := SecondsJSON([]byte(in), (&networking.VirtualService{}).ProtoReflect().Descriptor())
		if err != nil || string(out) != want {
			t.Errorf("%s: %s, %v", in, out, err)
		}
	}
}

func TestMeshConfigDurations(t *testing.T) {
	mesh, err := ParseMeshConfig([]byte(`
connectTimeout: 1m
tcpKeepalive: {time: 2h, interval: 75s}
defaultConfig:
  drainDuration: 1m30s
  terminationDrainDuration: 500ms
`))
	if err != nil {
		t.Fatal(err)
	}
	if mesh.GetConnectTimeout().AsDuration() != time.Minute || mesh.GetTcpKeepalive().GetTime().AsDuration() != 2*time.Hour ||
		mesh.GetDefaultConfig().GetDrainDuration().AsDuration() != 90*time.Second ||
		mesh.GetDefaultConfig().GetTerminationDrainDuration().AsDuration() != 500*time.Millisecond {
		t.Errorf("%v", mesh)
	}
	for text, want := range map[string]string{
		"defaultConfig: {drainDuration: 5}":  "defaultConfig.drainDuration: 5 is no duration",
		"defaultConfig: {drain_duration: x}": `defaultConfig.drain_duration: "x" is no duration`,
		"defaultConfig: 5":                   "defaultConfig: must be an object",
		"- a":                                "must be a mapping",
	} {
		if _, err := ParseMeshConfig([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func FuzzSecondsJSON(f *testing.F) {
	f.Add([]byte(`{"http":[{"timeout":"5m","match":[{"headers":{"a":{"exact":"1m"}}}]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		vs := &networking.VirtualService{}
		if protojson.Unmarshal(data, vs) != nil {
			_, _ = SecondsJSON(data, vs.ProtoReflect().Descriptor()) // must not panic
			return
		}
		out, err := SecondsJSON(data, vs.ProtoReflect().Descriptor())
		if wrong := (*DurationError)(nil); errors.As(err, &wrong) {
			return // beyond 292 years, which protobuf can say
		}
		again := &networking.VirtualService{}
		if err != nil || protojson.Unmarshal(out, again) != nil {
			t.Errorf("%q became %q, %v", data, out, err)
		}
	})
}
