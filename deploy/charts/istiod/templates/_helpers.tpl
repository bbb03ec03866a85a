{{- /* flatten lets what is under `pilot` count as if it stood at the top. Every template begins with it. */}}
{{- define "flatten" }}
{{- if .Values.pilot }}
{{- $_ := mergeOverwrite .Values .Values.pilot }}
{{- end }}
{{- if ne .Release.Namespace .Values.global.istioNamespace }}
{{- fail (printf "the control plane reads its configuration in namespace %s, and has to be installed there, not in %s" .Values.global.istioNamespace .Release.Namespace) }}
{{- end }}
{{- if not .Values.enabled }}
{{- range $name, $value := dict "istiodRemote.injectionURL" .Values.istiodRemote.injectionURL "istiodRemote.injectionCABundle" .Values.istiodRemote.injectionCABundle "global.remotePilotAddress" .Values.global.remotePilotAddress }}
{{- $_ := required (printf "another cluster's control plane is reached by %s, which is not set" $name) $value }}
{{- end }}
{{- end }}
{{- end }}

{{- define "revision" }}{{ .Values.revision | default "default" }}{{ end }}

{{- /* suffix is what names end with for all revisions but the default one. */}}
{{- define "suffix" }}{{ if not (has .Values.revision (list "" "default")) }}-{{ .Values.revision }}{{ end }}{{ end }}

{{- define "labels" }}
istio.io/rev: {{ include "revision" . }}
app.kubernetes.io/name: istiod
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: istio
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "image" }}
{{- if contains "/" .Values.image }}{{ .Values.image }}{{ else -}}
{{ .Values.hub | default .Values.global.hub }}/{{ .Values.image }}:{{ .Values.tag | default .Values.global.tag }}
{{- end }}
{{- end }}

{{- /* replicated tells that more than one replica is wanted, so that one may be taken away. */}}
{{- define "replicated" }}
{{- $least := ternary .Values.autoscaleMin .Values.replicaCount .Values.autoscaleEnabled }}
{{- if gt (int $least) 1 }}true{{ end }}
{{- end }}

{{- /* discoveryAddress is where proxies find the control plane. */}}
{{- define "discoveryAddress" }}
{{- with .Values.global.remotePilotAddress }}{{ . }}:15012{{ else -}}
istiod{{ include "suffix" . }}.{{ .Release.Namespace }}.svc:15012
{{- end }}
{{- end }}
