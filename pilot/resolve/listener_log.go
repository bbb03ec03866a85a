package resolve

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// defaultLogFormat is the line that Istio documents, which log pipelines parse.
const defaultLogFormat = `[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" ` +
	`%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% ` +
	`"%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% ` +
	`%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" ` +
	`"%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% ` +
	`%UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% ` +
	`%REQUESTED_SERVER_NAME% %ROUTE_NAME%` + "\n"

const defaultFormatIsUsed = "; the default format is used"

// defaultLogFields are the same values as a JSON object, under the names that Istio documents.
var defaultLogFields = []ir.JSONField{
	{Name: "authority", Format: "%REQ(:AUTHORITY)%"},
	{Name: "bytes_received", Format: "%BYTES_RECEIVED%"},
	{Name: "bytes_sent", Format: "%BYTES_SENT%"},
	{Name: "connection_termination_details", Format: "%CONNECTION_TERMINATION_DETAILS%"},
	{Name: "downstream_local_address", Format: "%DOWNSTREAM_LOCAL_ADDRESS%"},
	{Name: "downstream_remote_address", Format: "%DOWNSTREAM_REMOTE_ADDRESS%"},
	{Name: "duration", Format: "%DURATION%"},
	{Name: "method", Format: "%REQ(:METHOD)%"},
	{Name: "path", Format: "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%"},
	{Name: "protocol", Format: "%PROTOCOL%"},
	{Name: "request_id", Format: "%REQ(X-REQUEST-ID)%"},
	{Name: "requested_server_name", Format: "%REQUESTED_SERVER_NAME%"},
	{Name: "response_code", Format: "%RESPONSE_CODE%"},
	{Name: "response_code_details", Format: "%RESPONSE_CODE_DETAILS%"},
	{Name: "response_flags", Format: "%RESPONSE_FLAGS%"},
	{Name: "route_name", Format: "%ROUTE_NAME%"},
	{Name: "start_time", Format: "%START_TIME%"},
	{Name: "upstream_cluster", Format: "%UPSTREAM_CLUSTER_RAW%"},
	{Name: "upstream_host", Format: "%UPSTREAM_HOST%"},
	{Name: "upstream_local_address", Format: "%UPSTREAM_LOCAL_ADDRESS%"},
	{Name: "upstream_service_time", Format: "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%"},
	{Name: "upstream_transport_failure_reason", Format: "%UPSTREAM_TRANSPORT_FAILURE_REASON%"},
	{Name: "user_agent", Format: "%REQ(USER-AGENT)%"},
	{Name: "x_forwarded_for", Format: "%REQ(X-FORWARDED-FOR)%"},
}

// meshLog translates the mesh's settings of the access log. A file that not every proxy can open is
// not written, a format that Envoy would not take is replaced by the default; reason says why, of
// the field.
func meshLog(mesh *meshconfig.MeshConfig) (out *ir.FileLog, field, reason string) {
	switch name := mesh.GetAccessLogFile(); {
	case name == "":
		return nil, "", ""
	case !model.AccessLogFile(name):
		return nil, "accessLogFile", strconv.Quote(name) + " may be missing in a proxy, which would then refuse its listeners; use /dev/stdout, " +
			"or a file in /etc/istio/proxy or /var/lib/istio/data, until then there is no access log"
	}
	out = &ir.FileLog{Path: mesh.GetAccessLogFile()}
	reason = setLogFormat(mesh, out)
	return out, "accessLogFormat", reason
}

// setLogFormat gives the reason why the mesh's format is not the one that is set, "" when it is.
func setLogFormat(mesh *meshconfig.MeshConfig, out *ir.FileLog) string {
	format := mesh.GetAccessLogFormat()
	if mesh.GetAccessLogEncoding() != meshconfig.MeshConfig_JSON {
		if out.Text = defaultLogFormat; !formatString(format) {
			return "% starts a command of Envoy such as %RESPONSE_CODE%, and one of these is none" + defaultFormatIsUsed
		}
		out.Text = strings.TrimSuffix(cmp.Or(format, defaultLogFormat), "\n") + "\n"
		return ""
	}
	if out.JSON = defaultLogFields; format == "" {
		return ""
	}
	var object map[string]any
	if err := json.Unmarshal([]byte(format), &object); err != nil {
		return "with accessLogEncoding JSON it is a JSON object, and this does not parse: " + err.Error() + defaultFormatIsUsed
	}
	fields, ok := logFields(object)
	if !ok {
		return "a value is neither text with commands of Envoy nor an object of such" + defaultFormatIsUsed
	}
	out.JSON = fields
	return ""
}

// logFields translates an object of formats, sorted by name.
func logFields(object map[string]any) ([]ir.JSONField, bool) {
	out := []ir.JSONField{}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		field, ok := ir.JSONField{Name: name}, false
		switch v := object[name].(type) {
		case string:
			field.Format, ok = v, formatString(v)
		case map[string]any:
			field.Fields, ok = logFields(v)
		}
		if !ok {
			return nil, false
		}
		out = append(out, field)
	}
	return out, true
}

// pathNormalization follows MeshConfig.pathNormalization; a mesh that says nothing gets BASE.
func pathNormalization(r Reader) ir.PathNormalization {
	switch r.Mesh().GetPathNormalization().GetNormalization() {
	case meshconfig.MeshConfig_ProxyPathNormalization_NONE:
		return ir.PathNormalization{}
	case meshconfig.MeshConfig_ProxyPathNormalization_MERGE_SLASHES:
		return ir.PathNormalization{Normalize: true, MergeSlashes: true}
	case meshconfig.MeshConfig_ProxyPathNormalization_DECODE_AND_MERGE_SLASHES:
		return ir.PathNormalization{Normalize: true, MergeSlashes: true, EscapedSlashes: ir.SlashesUnescaped}
	}
	return ir.PathNormalization{Normalize: true}
}

// meshProblems reports what of the mesh configuration concerns listeners and peers and makes no sense.
func meshProblems(r Reader) []model.Problem {
	out := append(trustProblems(r), BundleProblems(r)...)
	if _, field, reason := meshLog(r.Mesh()); reason != "" {
		out = append(out, meshObject().ErrorAt(field, model.ReasonInvalid, reason))
	}
	if r.Mesh().GetEnableEnvoyAccessLogService() && r.Mesh().GetDefaultConfig().GetEnvoyAccessLogService().GetAddress() == "" {
		out = append(out, meshObject().WarningAt("enableEnvoyAccessLogService", model.ReasonInvalid,
			"defaultConfig.envoyAccessLogService.address says no service, so only proxies whose own configuration does send logs"))
	}
	return append(out, enrichmentProblems(r.Mesh())...)
}
