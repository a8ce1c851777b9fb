{{/* Names, labels and small functions. */}}

{{- define "fairlead.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* The sample affinity of ingress-nginx's values names this template; it means the same. */}}
{{- define "ingress-nginx.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "fairlead.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "fairlead.name" . -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "fairlead.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "fairlead.controller.fullname" -}}
{{- printf "%s-%s" (include "fairlead.fullname" .) .Values.controller.name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "fairlead.webhook.fullname" -}}
{{- printf "%s-%s" (include "fairlead.fullname" .) .Values.controller.admissionWebhooks.name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "fairlead.defaultBackend.fullname" -}}
{{- printf "%s-%s" (include "fairlead.fullname" .) .Values.defaultBackend.name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Objects without a namespace carry it in their names, so that two releases of one name do not meet. */}}
{{- define "fairlead.clusterRole" -}}
{{- printf "%s:%s" (include "fairlead.namespace" .) (include "fairlead.fullname" .) -}}
{{- end -}}

{{- define "fairlead.webhook.configuration" -}}
{{- printf "%s.%s" (include "fairlead.webhook.fullname" .) (include "fairlead.namespace" .) -}}
{{- end -}}

{{- define "fairlead.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "fairlead.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "fairlead.defaultBackend.serviceAccountName" -}}
{{- if .Values.defaultBackend.serviceAccount.create -}}
{{- default (printf "%s-backend" (include "fairlead.fullname" .)) .Values.defaultBackend.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.defaultBackend.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "fairlead.selectorLabels" -}}
app.kubernetes.io/name: {{ include "fairlead.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Labels of an object. Takes a list: the root, the component, further maps of labels. Later ones win. */}}
{{- define "fairlead.labels" -}}
{{- $root := first . -}}
{{- $all := dict
  "helm.sh/chart" (printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-")
  "app.kubernetes.io/version" ($root.Chart.AppVersion | toString)
  "app.kubernetes.io/part-of" (include "fairlead.name" $root)
  "app.kubernetes.io/managed-by" $root.Release.Service
-}}
{{- range $more := concat (list $root.Values.commonLabels) (slice . 2) -}}
{{- range $key, $value := $more -}}
{{- $_ := set $all $key (include "fairlead.text" $value) -}}
{{- end -}}
{{- end -}}
{{- $_ := set $all "app.kubernetes.io/name" (include "fairlead.name" $root) -}}
{{- $_ := set $all "app.kubernetes.io/instance" $root.Release.Name -}}
{{- $_ := set $all "app.kubernetes.io/component" (index . 1) -}}
{{- toYaml $all -}}
{{- end -}}

{{/* A map whose values are text, whatever they were written as. Takes a list: the root, the map. Templates in values are
expanded. */}}
{{- define "fairlead.textMap" -}}
{{- $root := first . -}}
{{- $all := dict -}}
{{- range $key, $value := index . 1 -}}
{{- $_ := set $all $key (tpl (include "fairlead.text" $value) $root) -}}
{{- end -}}
{{- toYaml $all -}}
{{- end -}}

{{/* A scalar as text. Whole numbers keep their digits: Helm reads 31536000 as a float and would print 3.1536e+07. */}}
{{- define "fairlead.text" -}}
{{- if kindIs "float64" . -}}
{{- if eq . (floor .) -}}{{ printf "%.0f" . }}{{- else -}}{{ . }}{{- end -}}
{{- else -}}
{{- . | toString -}}
{{- end -}}
{{- end -}}

{{/* An image. Takes a list: the root, the image's values, the registry where nobody names one. */}}
{{- define "fairlead.image" -}}
{{- $root := first . -}}
{{- $image := index . 1 -}}
{{- $registry := $image.registry | default $root.Values.global.image.registry | default (index . 2) -}}
{{- $tag := include "fairlead.text" ($image.tag | default $root.Chart.AppVersion) -}}
{{- $image.repository | default (printf "%s/%s" $registry $image.image) -}}:{{ $tag }}
{{- with $image.digest }}@{{ . }}{{ end -}}
{{- end -}}

{{/* The names of classes. Whatever the values name explicitly wins over what taking over from ingress-nginx implies. */}}
{{- define "fairlead.controllerClass" -}}
{{- $given := .Values.controller.ingressClassResource.controllerValue -}}
{{- if and .Values.compat.ingressNginx.enabled (eq $given "fairlead.dev/ingress-controller") -}}
k8s.io/ingress-nginx
{{- else -}}
{{- $given -}}
{{- end -}}
{{- end -}}

{{- define "fairlead.ingressClassName" -}}
{{- $given := .Values.controller.ingressClassResource.name -}}
{{- ternary "nginx" $given (and .Values.compat.ingressNginx.enabled (eq $given "fairlead")) -}}
{{- end -}}

{{- define "fairlead.ingressClass" -}}
{{- $given := .Values.controller.ingressClass -}}
{{- ternary "nginx" $given (and .Values.compat.ingressNginx.enabled (eq ($given | toString) "fairlead")) -}}
{{- end -}}

{{- define "fairlead.makesIngressClass" -}}
{{- if and .Values.controller.ingressClassResource.enabled (or (not .Values.compat.ingressNginx.enabled) .Values.compat.ingressNginx.createClass) -}}
true
{{- end -}}
{{- end -}}

{{/* In shadow nothing is taken from the node. */}}
{{- define "fairlead.hostNetwork" -}}
{{- if and .Values.controller.hostNetwork (not .Values.compat.ingressNginx.shadow) -}}true{{- end -}}
{{- end -}}

{{- define "fairlead.hostPort" -}}
{{- if and .Values.controller.hostPort.enabled (not .Values.compat.ingressNginx.shadow) -}}true{{- end -}}
{{- end -}}

{{- define "fairlead.runsDeployment" -}}
{{- if ne .Values.controller.kind "DaemonSet" -}}true{{- end -}}
{{- end -}}

{{- define "fairlead.electionId" -}}
{{- .Values.controller.electionID | default (printf "%s-leader" (include "fairlead.fullname" .)) -}}
{{- end -}}

{{/* Ports of the TCP and UDP maps have names of at most 15 characters. Takes a list: the root, the port, tcp or udp. */}}
{{- define "fairlead.streamPortName" -}}
{{- $prefix := (first .).Values.portNamePrefix -}}
{{- printf "%s%s-%s" (ternary (printf "%s-" $prefix) "" (ne $prefix "")) (index . 1 | toString) (index . 2) -}}
{{- end -}}

{{/* Whether some port needs a right to bind it: true or nothing. */}}
{{- define "fairlead.bindsLowPort" -}}
{{- $found := false -}}
{{- range $port := concat (values .Values.controller.containerPort) (keys .Values.tcp) (keys .Values.udp) -}}
{{- if lt (int $port) 1024 -}}{{- $found = true -}}{{- end -}}
{{- end -}}
{{- if $found -}}true{{- end -}}
{{- end -}}
