package pod

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// asked runs a prober in fake time against answers by time since its start, and gives when it
// reported what.
func asked(t *testing.T, p *corev1.Probe, eager bool, until time.Duration, well func(at time.Duration) bool) []string {
	t.Helper()
	var got []string
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), until)
		defer cancel()
		prober{
			thresholds: thresholdsOf(p), eager: eager, failing: func(error) {},
			check: func(context.Context) error {
				if well(time.Since(began)) {
					return nil
				}
				return errors.New("not well")
			},
		}.run(ctx, func(well bool, _ error) bool {
			word := " bad"
			if well {
				word = " well"
			}
			got = append(got, time.Since(began).String()+word)
			return true
		})
	})
	return got
}

func TestProber(t *testing.T) {
	probe := &corev1.Probe{InitialDelaySeconds: 2, PeriodSeconds: 5, FailureThreshold: 2}
	tests := map[string]struct {
		probe *corev1.Probe
		eager bool
		well  func(time.Duration) bool
		want  []string
	}{
		"well from the start":   {probe, false, func(time.Duration) bool { return true }, []string{"2s well"}},
		"bad after two periods": {probe, false, func(at time.Duration) bool { return at < 10*time.Second }, []string{"2s well", "17s bad"}},
		"well again": {
			probe, false, func(at time.Duration) bool { return at < 10*time.Second || at > 20*time.Second },
			[]string{"2s well", "17s bad", "22s well"},
		},
		"one failure is none": {probe, false, func(at time.Duration) bool { return at/time.Second != 12 }, []string{"2s well", "17s well"}},
		"eager until the first success": {
			probe, true, func(at time.Duration) bool { return at >= 3*time.Second },
			[]string{"3s well"},
		},
		"eager failures count once a period": {probe, true, func(time.Duration) bool { return false }, []string{"7s bad"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := asked(t, tt.probe, tt.eager, 28*time.Second, tt.well); !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestThresholdDefaults(t *testing.T) {
	want := thresholds{period: 10 * time.Second, timeout: time.Second, success: 1, failure: 3}
	if got := thresholdsOf(&corev1.Probe{}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestPortNames(t *testing.T) {
	tg := target{ip: "10.0.0.1", spec: &corev1.Container{Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}}}}
	for port, want := range map[string]string{"http": "10.0.0.1:8080", "81": "10.0.0.1:81"} {
		if got, err := tg.address("", intstr.FromString(port)); err != nil || got != want {
			t.Errorf("port %s is %s, %v; want %s", port, got, err, want)
		}
	}
	for _, port := range []intstr.IntOrString{intstr.FromString("grpc"), intstr.FromInt32(0), intstr.FromInt32(70000)} {
		if got, err := tg.address("", port); err == nil {
			t.Errorf("port %s is %s", port.String(), got)
		}
	}
}
