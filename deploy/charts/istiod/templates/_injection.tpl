{{- /* injectionWebhooks are the webhooks that choose by one name, a revision's or a tag's. */}}
{{- define "injectionWebhooks" }}
webhooks:
- name: rev.namespace.sidecar-injector.istio.io
{{- template "injectionWebhook" .root }}
  namespaceSelector:
    matchExpressions:
    - {key: istio.io/rev, operator: In, values: [{{ .name }}]}
    - {key: istio-injection, operator: DoesNotExist}
  objectSelector:
    matchExpressions:
    - {key: sidecar.istio.io/inject, operator: NotIn, values: ["false"]}
- name: rev.object.sidecar-injector.istio.io
{{- template "injectionWebhook" .root }}
  namespaceSelector:
    matchExpressions:
    - {key: istio.io/rev, operator: DoesNotExist}
    - {key: istio-injection, operator: DoesNotExist}
  objectSelector:
    matchExpressions:
    - {key: sidecar.istio.io/inject, operator: NotIn, values: ["false"]}
    - {key: istio.io/rev, operator: In, values: [{{ .name }}]}
{{- if eq .name "default" }}
- name: namespace.sidecar-injector.istio.io
{{- template "injectionWebhook" .root }}
  namespaceSelector:
    matchExpressions:
    - {key: istio-injection, operator: In, values: [enabled]}
  objectSelector:
    matchExpressions:
    - {key: sidecar.istio.io/inject, operator: NotIn, values: ["false"]}
- name: object.sidecar-injector.istio.io
{{- template "injectionWebhook" .root }}
  namespaceSelector:
    matchExpressions:
    - {key: istio-injection, operator: DoesNotExist}
    - {key: istio.io/rev, operator: DoesNotExist}
  objectSelector:
    matchExpressions:
    - {key: sidecar.istio.io/inject, operator: In, values: ["true"]}
    - {key: istio.io/rev, operator: DoesNotExist}
{{- if .root.Values.sidecarInjectorWebhook.enableNamespacesByDefault }}
- name: auto.sidecar-injector.istio.io
{{- template "injectionWebhook" .root }}
  namespaceSelector:
    matchExpressions:
    - {key: istio-injection, operator: DoesNotExist}
    - {key: istio.io/rev, operator: DoesNotExist}
    - {key: kubernetes.io/metadata.name, operator: NotIn, values: [kube-system, kube-public, kube-node-lease, local-path-storage, {{ .root.Release.Namespace }}]}
  objectSelector:
    matchExpressions:
    - {key: sidecar.istio.io/inject, operator: DoesNotExist}
    - {key: istio.io/rev, operator: DoesNotExist}
{{- end }}
{{- end }}
{{- end }}

{{- define "injectionWebhook" }}
  clientConfig:
{{- with .Values.istiodRemote.injectionURL }}
    url: {{ . | quote }}
{{- else }}
    service: {name: istiod{{ include "suffix" . }}, namespace: {{ .Release.Namespace }}, path: {{ .Values.istiodRemote.injectionPath | quote }}, port: 443}
{{- end }}
{{- with .Values.istiodRemote.injectionCABundle }}
    caBundle: {{ . | quote }}
{{- end }}
  rules:
  - {operations: [CREATE], apiGroups: [""], apiVersions: [v1], resources: [pods]}
  sideEffects: None
  failurePolicy: Fail
  reinvocationPolicy: Never
  admissionReviewVersions: [v1]
{{- end }}
