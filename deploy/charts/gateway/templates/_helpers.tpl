{{- define "name" }}{{ .Values.name | default .Release.Name }}{{ end }}

{{- define "serviceAccount" }}{{ .Values.serviceAccount.name | default (include "name" .) }}{{ end }}

{{- /* selector is what Services and Gateway objects find the pods by. */}}
{{- define "selector" }}
app: {{ .Values.labels.app | default (include "name" .) }}
istio: {{ .Values.labels.istio | default (include "name" . | trimPrefix "istio-") }}
{{- end }}

{{- define "labels" }}
{{- include "selector" . }}
istio.io/rev: {{ .Values.revision | default "default" }}
app.kubernetes.io/name: {{ include "name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: istio
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- with omit .Values.labels "app" "istio" }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "metadata" }}
metadata:
  name: {{ include "name" . }}
  namespace: {{ .Release.Namespace }}
  labels:
{{- include "labels" . | indent 4 }}
{{- with .Values.annotations }}
  annotations:
{{ toYaml . | indent 4 }}
{{- end }}
{{- end }}
