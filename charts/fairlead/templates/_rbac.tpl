{{/* What the controller watches and writes wherever it serves. */}}
{{- define "fairlead.watchRules" -}}
- apiGroups:
    - ""
  resources:
    - configmaps
    - pods
    - secrets
    - services
  verbs:
    - get
    - list
    - watch
- apiGroups:
    - networking.k8s.io
  resources:
    - ingresses
  verbs:
    - get
    - list
    - watch
- apiGroups:
    - discovery.k8s.io
  resources:
    - endpointslices
  verbs:
    - get
    - list
    - watch
{{- if include "fairlead.writesStatus" . }}
- apiGroups:
    - networking.k8s.io
  resources:
    - ingresses/status
  verbs:
    - patch
{{- end }}
{{- if include "fairlead.writesEvents" . }}
- apiGroups:
    - events.k8s.io
  resources:
    - events
  verbs:
    - create
    - patch
{{- end }}
{{- end -}}

{{/* A role and its binding to the controller's account. Takes a dict: root, labels, name, rules, and namespace unless it
is a ClusterRole. */}}
{{- define "fairlead.roleWithBinding" -}}
{{- $kind := ternary "Role" "ClusterRole" (hasKey . "namespace") }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}
metadata:
  name: {{ .name | quote }}
  {{- with .namespace }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- .labels | nindent 4 }}
rules:
  {{- toYaml .rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}Binding
metadata:
  name: {{ .name | quote }}
  {{- with .namespace }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- .labels | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ $kind }}
  name: {{ .name | quote }}
subjects:
  - kind: ServiceAccount
    name: {{ include "fairlead.serviceAccountName" .root }}
    namespace: {{ include "fairlead.namespace" .root }}
{{- end -}}
