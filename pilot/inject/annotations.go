package inject

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"istio.io/api/annotation"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// checkAnnotations refuses a pod whose annotations do not say what can be done: found here it
// is one clear message, found later a container that does not start.
func checkAnnotations(annotations map[string]string) error {
	for _, wrong := range WrongAnnotations(annotations) {
		return fmt.Errorf("annotation %s: %w", wrong.Name, wrong.Err)
	}
	return nil
}

// WrongAnnotation is an annotation whose value says nothing that can be done.
type WrongAnnotation struct {
	Name string
	Err  error
}

// WrongAnnotations gives those for which a pod is refused, by name.
func WrongAnnotations(annotations map[string]string) []WrongAnnotation {
	var out []WrongAnnotation
	for _, name := range slices.Sorted(maps.Keys(annotations)) {
		check := annotationChecks[name]
		if check == nil {
			continue
		}
		value := annotations[name]
		err := check(value)
		if !utf8.ValidString(value) {
			err = fmt.Errorf("%q is not UTF-8", value)
		}
		if err != nil {
			out = append(out, WrongAnnotation{name, err})
		}
	}
	return out
}

// annotationChecks holds a check for each annotation of model.Annotations that acts on pods.
var annotationChecks = map[string]func(string) error{
	annotation.SidecarInject.Name:                 checkAny,
	annotation.SidecarStatus.Name:                 checkJSON[injectionStatus],
	annotation.SidecarProxyImage.Name:             checkWord,
	annotation.SidecarProxyImageType.Name:         checkImageType,
	annotation.SidecarProxyCPU.Name:               checkQuantity,
	annotation.SidecarProxyCPULimit.Name:          checkQuantity,
	annotation.SidecarProxyMemory.Name:            checkQuantity,
	annotation.SidecarProxyMemoryLimit.Name:       checkQuantity,
	annotation.SidecarInterceptionMode.Name:       checkMode,
	annotation.SidecarLogLevel.Name:               checkOneOf("trace", "debug", "info", "warning", "warn", "error", "critical", "off"),
	annotation.SidecarComponentLogLevel.Name:      checkLogLevels,
	annotation.SidecarAgentLogLevel.Name:          checkLogLevels,
	annotation.SidecarBootstrapOverride.Name:      checkWord,
	annotation.SidecarUserVolume.Name:             checkJSON[map[string]corev1.VolumeSource],
	annotation.SidecarUserVolumeMount.Name:        checkJSON[map[string]corev1.VolumeMount],
	annotation.SidecarRewriteAppHTTPProbers.Name:  checkBool,
	annotation.SidecarNativeSidecar.Name:          checkBool,
	model.AnnotationNetBindService:                checkBool,
	annotation.SidecarDiscoveryAddress.Name:       checkWord,
	annotation.SidecarExtraStatTags.Name:          checkAny,
	annotation.SidecarStatsInclusionPrefixes.Name: checkAny,
	annotation.SidecarStatsInclusionSuffixes.Name: checkAny,
	annotation.SidecarStatsInclusionRegexps.Name:  checkAny,
	annotation.SidecarStatsHistogramBuckets.Name:  checkJSON[map[string][]float64],
	annotation.SidecarStatsFlushInterval.Name:     checkPositiveDuration,
	annotation.SidecarStatsEvictionInterval.Name:  checkPositiveDuration,
	annotation.SidecarStatsCompression.Name:       checkOneOf("brotli", "gzip", "zstd"),

	annotation.SidecarTrafficIncludeInboundPorts.Name:     checkPortsOrAll,
	annotation.SidecarTrafficExcludeInboundPorts.Name:     checkPorts,
	annotation.SidecarTrafficIncludeOutboundPorts.Name:    checkPorts,
	annotation.SidecarTrafficExcludeOutboundPorts.Name:    checkPorts,
	annotation.SidecarTrafficIncludeOutboundIPRanges.Name: checkCIDRsOrAll,
	annotation.SidecarTrafficExcludeOutboundIPRanges.Name: checkCIDRs,
	annotation.SidecarTrafficExcludeInterfaces.Name:       checkInterfaces,
	annotation.SidecarTrafficKubevirtInterfaces.Name:      checkInterfaces,
	annotation.IoIstioRerouteVirtualInterfaces.Name:       checkInterfaces,

	annotation.ProxyConfig.Name:                               checkProxyConfig,
	annotation.ProxyOverrides.Name:                            checkJSON[overrides],
	annotation.PrometheusMergeMetrics.Name:                    checkBool,
	model.AnnotationScrapeTargets:                             checkTargets,
	model.AnnotationSecurePort:                                checkPort,
	model.AnnotationSecureEnvoyPort:                           checkPort,
	annotation.InjectTemplates.Name:                           checkAny,
	annotation.SidecarStatusPort.Name:                         checkStatusPort,
	annotation.SidecarStatusReadinessInitialDelaySeconds.Name: checkSeconds,
	annotation.SidecarStatusReadinessPeriodSeconds.Name:       checkSeconds,
	annotation.SidecarStatusReadinessFailureThreshold.Name:    checkSeconds,
}

func checkAny(string) error { return nil }

func checkWord(s string) error {
	if s == "" || strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		return fmt.Errorf("%q is not one word", s)
	}
	return nil
}

func checkOneOf(values ...string) func(string) error {
	return func(s string) error {
		if slices.Contains(values, s) {
			return nil
		}
		return fmt.Errorf("%q is none of %s", s, strings.Join(values, ", "))
	}
}

func checkBool(s string) error {
	if _, err := strconv.ParseBool(s); err != nil {
		return fmt.Errorf("%q is neither true nor false", s)
	}
	return nil
}

func checkImageType(s string) error {
	if s == "" {
		return nil
	}
	return checkWord(s)
}

func checkQuantity(s string) error {
	q, err := resource.ParseQuantity(s)
	if err != nil || q.Sign() < 0 {
		return fmt.Errorf("%q is not a quantity such as 100m or 128Mi", s)
	}
	return nil
}

// checkPositiveDuration takes what Envoy does, whole milliseconds.
func checkPositiveDuration(s string) error {
	if d, err := time.ParseDuration(s); err != nil || d < time.Millisecond {
		return fmt.Errorf("%q is not a duration such as 5s", s)
	}
	return nil
}

func checkTargets(s string) error {
	_, err := parseTargets(s, defaultStatusPort)
	return err
}

func checkMode(s string) error {
	switch s {
	case "REDIRECT", "NONE":
		return nil
	case "TPROXY":
		return fmt.Errorf("TPROXY is not supported; use REDIRECT or NONE")
	}
	return fmt.Errorf("%q is neither REDIRECT nor NONE", s)
}

// checkLogLevels takes a level, or scope:level pairs separated by commas.
func checkLogLevels(s string) error {
	for _, part := range strings.Split(s, ",") {
		if err := checkWord(part); err != nil {
			return fmt.Errorf("%q is not a list of scope:level", s)
		}
	}
	return nil
}

func checkJSON[T any](s string) error {
	var v T
	return json.Unmarshal([]byte(s), &v)
}

func checkNumber(s string, low, high int, what string) error {
	n, err := strconv.Atoi(strings.TrimSpace(s))
	if err != nil || n < low || n > high {
		return fmt.Errorf("%q is not %s (%d to %d)", s, what, low, high)
	}
	return nil
}

func checkPort(s string) error       { return checkNumber(s, 1, 65535, "a port") }
func checkStatusPort(s string) error { return checkNumber(s, 0, 65535, "a port, or 0 for none") }
func checkSeconds(s string) error    { return checkNumber(s, 0, 1<<31-1, "a number") }

// checkList checks what stands between the commas; blanks and an empty list are allowed.
func checkList(s string, check func(string) error) error {
	for _, part := range strings.Split(s, ",") {
		if part = strings.TrimSpace(part); part != "" {
			if err := check(part); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkPorts(s string) error { return checkList(s, checkPort) }

func checkPortsOrAll(s string) error {
	if s == "*" {
		return nil
	}
	return checkPorts(s)
}

func checkCIDRs(s string) error {
	return checkList(s, func(part string) error {
		if _, err := model.ParseAddressBlock(part); err != nil {
			return fmt.Errorf("%q is not a CIDR such as 10.0.0.0/8", part)
		}
		return nil
	})
}

func checkCIDRsOrAll(s string) error {
	if s == "*" {
		return nil
	}
	return checkCIDRs(s)
}

func checkInterfaces(s string) error {
	return checkList(s, func(part string) error {
		if len(strings.TrimSuffix(part, "+")) > 15 || strings.ContainsAny(part, " \t\r\n/\"'\\") {
			return fmt.Errorf("%q is not an interface name of up to 15 characters", part)
		}
		return nil
	})
}

func checkProxyConfig(s string) error {
	_, err := parseProxyConfig(s)
	return err
}
