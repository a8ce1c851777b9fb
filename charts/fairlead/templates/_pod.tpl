{{/* The controller's Pod, one for Deployment and DaemonSet. */}}

{{/* A probe with the port and path that the program really has. Takes a list: the root, the probe, whether it is the
readiness probe. */}}
{{- define "fairlead.probe" -}}
{{- $c := (first .).Values.controller -}}
{{- $probe := deepCopy (index . 1) -}}
{{- with $probe.httpGet -}}
{{- if has .path (list "/healthz" "/readyz" $c.healthCheckPath) -}}
{{- $_ := set . "path" (ternary "/readyz" $c.healthCheckPath (index $ 2)) -}}
{{- end -}}
{{- if eq (include "fairlead.text" .port) "10254" -}}
{{- $_ := set . "port" (include "fairlead.healthPort" (first $) | int) -}}
{{- end -}}
{{- end -}}
{{- toYaml $probe -}}
{{- end -}}

{{/* Security context of the controller's container. On the node's network the sysctl is not allowed, and a capability is
of use to root only. */}}
{{- define "fairlead.containerSecurityContext" -}}
{{- $image := .Values.controller.image -}}
{{- $root := and (include "fairlead.hostNetwork" .) (include "fairlead.bindsLowPort" .) -}}
{{- if .Values.controller.containerSecurityContext -}}
{{- toYaml .Values.controller.containerSecurityContext -}}
{{- else -}}
allowPrivilegeEscalation: {{ $image.allowPrivilegeEscalation }}
capabilities:
  drop:
    - ALL
  {{- if $root }}
  add:
    - NET_BIND_SERVICE
  {{- end }}
readOnlyRootFilesystem: {{ $image.readOnlyRootFilesystem }}
runAsGroup: {{ include "fairlead.text" (ternary 0 $image.runAsGroup (not (empty $root))) }}
runAsNonRoot: {{ and $image.runAsNonRoot (not $root) }}
runAsUser: {{ include "fairlead.text" (ternary 0 $image.runAsUser (not (empty $root))) }}
{{- with $image.seccompProfile }}
seccompProfile:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
{{- end -}}

{{- define "fairlead.podSecurityContext" -}}
{{- $context := deepCopy .Values.controller.podSecurityContext -}}
{{- $sysctls := dict -}}
{{- if and (include "fairlead.bindsLowPort" .) (not (include "fairlead.hostNetwork" .)) -}}
{{- $_ := set $sysctls "net.ipv4.ip_unprivileged_port_start" "0" -}}
{{- end -}}
{{- $sysctls = merge (deepCopy .Values.controller.sysctls) $sysctls -}}
{{- $list := $context.sysctls | default list -}}
{{- range $name, $value := $sysctls -}}
{{- $list = append $list (dict "name" $name "value" (include "fairlead.text" $value)) -}}
{{- end -}}
{{- if $list -}}{{- $_ := set $context "sysctls" $list -}}{{- end -}}
{{- if $context -}}{{- toYaml $context -}}{{- end -}}
{{- end -}}

{{- define "fairlead.ports" -}}
{{- $c := .Values.controller -}}
{{- $hostPort := include "fairlead.hostPort" . -}}
{{- range $name, $port := $c.containerPort }}
{{- $number := $port }}
{{- if eq $name "http" }}{{- $number = include "fairlead.flagValue" (list $ $port "http-port") }}{{- end }}
{{- if eq $name "https" }}{{- $number = include "fairlead.flagValue" (list $ $port "https-port") }}{{- end }}
- name: {{ $name }}
  containerPort: {{ $number }}
  protocol: TCP
  {{- if $hostPort }}
  hostPort: {{ index $c.hostPort.ports $name | default $port }}
  {{- end }}
{{- end }}
{{- if $c.metrics.enabled }}
- name: {{ $c.metrics.portName }}
  containerPort: {{ include "fairlead.healthPort" . }}
  protocol: TCP
{{- end }}
{{- if $c.admissionWebhooks.enabled }}
- name: webhook
  containerPort: {{ $c.admissionWebhooks.port }}
  protocol: TCP
{{- end }}
{{- range $protocol, $map := dict "tcp" .Values.tcp "udp" .Values.udp }}
{{- range $port, $_ := $map }}
- name: {{ include "fairlead.streamPortName" (list $ $port $protocol) }}
  containerPort: {{ $port }}
  protocol: {{ upper $protocol }}
  {{- if $hostPort }}
  hostPort: {{ $port }}
  {{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "fairlead.podTemplate" -}}
{{- $c := .Values.controller -}}
{{- $mountsCertificate := and $c.admissionWebhooks.enabled $c.admissionWebhooks.certManager.enabled -}}
metadata:
  {{- with $c.podAnnotations }}
  annotations:
    {{- include "fairlead.textMap" (list $ .) | nindent 4 }}
  {{- end }}
  labels:
    {{- include "fairlead.labels" (list . "controller" $c.labels $c.podLabels) | nindent 4 }}
spec:
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  serviceAccountName: {{ include "fairlead.serviceAccountName" . }}
  automountServiceAccountToken: {{ .Values.serviceAccount.automountServiceAccountToken }}
  terminationGracePeriodSeconds: {{ $c.terminationGracePeriodSeconds }}
  {{- if include "fairlead.hostNetwork" . }}
  hostNetwork: true
  {{- end }}
  dnsPolicy: {{ $c.dnsPolicy | default (ternary "ClusterFirstWithHostNet" "ClusterFirst" (eq (include "fairlead.hostNetwork" .) "true")) }}
  {{- with $c.dnsConfig }}
  dnsConfig:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $c.hostAliases }}
  hostAliases:
    {{- tpl (toYaml .) $ | nindent 4 }}
  {{- end }}
  {{- if kindIs "string" $c.hostname }}{{- with $c.hostname }}
  hostname: {{ . | quote }}
  {{- end }}{{- end }}
  {{- with $c.priorityClassName }}
  priorityClassName: {{ . | quote }}
  {{- end }}
  {{- with $c.runtimeClassName }}
  runtimeClassName: {{ . | quote }}
  {{- end }}
  {{- if $c.shareProcessNamespace }}
  shareProcessNamespace: true
  {{- end }}
  {{- with include "fairlead.podSecurityContext" . }}
  securityContext:
    {{- . | nindent 4 }}
  {{- end }}
  {{- with $c.extraInitContainers }}
  initContainers:
    {{- tpl (toYaml .) $ | nindent 4 }}
  {{- end }}
  containers:
    - name: {{ $c.containerName }}
      image: {{ include "fairlead.image" (list . $c.image "ghcr.io") | quote }}
      imagePullPolicy: {{ $c.image.pullPolicy }}
      args:
        {{- include "fairlead.args" . | nindent 8 }}
      env:
        - name: POD_NAME
          valueFrom:
            fieldRef:
              fieldPath: metadata.name
        - name: POD_NAMESPACE
          valueFrom:
            fieldRef:
              fieldPath: metadata.namespace
        - name: NODE_NAME
          valueFrom:
            fieldRef:
              fieldPath: spec.nodeName
        {{- with $c.extraEnvs }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      ports:
        {{- include "fairlead.ports" . | trim | nindent 8 }}
      {{- with $c.startupProbe }}
      startupProbe:
        {{- include "fairlead.probe" (list $ . false) | nindent 8 }}
      {{- end }}
      {{- with $c.livenessProbe }}
      livenessProbe:
        {{- include "fairlead.probe" (list $ . false) | nindent 8 }}
      {{- end }}
      {{- with $c.readinessProbe }}
      readinessProbe:
        {{- include "fairlead.probe" (list $ . true) | nindent 8 }}
      {{- end }}
      {{- with $c.lifecycle }}
      lifecycle:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      securityContext:
        {{- include "fairlead.containerSecurityContext" . | nindent 8 }}
      {{- with $c.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $c.resizePolicy }}
      resizePolicy:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- if or $c.extraVolumeMounts $mountsCertificate }}
      volumeMounts:
        {{- if $mountsCertificate }}
        - name: webhook-certificate
          mountPath: {{ dir $c.admissionWebhooks.certificate }}
          readOnly: true
        {{- end }}
        {{- with $c.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- end }}
    {{- with $c.extraContainers }}
    {{- tpl (toYaml .) $ | nindent 4 }}
    {{- end }}
  {{- if or $c.extraVolumes $mountsCertificate }}
  volumes:
    {{- if $mountsCertificate }}
    - name: webhook-certificate
      secret:
        secretName: {{ include "fairlead.webhook.fullname" . }}
        items:
          - key: tls.crt
            path: {{ base $c.admissionWebhooks.certificate }}
          - key: tls.key
            path: {{ base $c.admissionWebhooks.key }}
    {{- end }}
    {{- with $c.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
  {{- with $c.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $c.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $c.affinity }}
  affinity:
    {{- tpl (toYaml .) $ | nindent 4 }}
  {{- end }}
  {{- with $c.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- tpl (toYaml .) $ | nindent 4 }}
  {{- end }}
{{- end -}}
