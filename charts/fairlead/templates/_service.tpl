{{/* The Service of the traffic ports, external or internal. Takes a dict: root, values (those of this Service), name,
type, ports, targetPorts, labels. In shadow no address is asked for outside the cluster. */}}
{{- define "fairlead.trafficService" -}}
{{- $root := .root -}}
{{- $c := $root.Values.controller -}}
{{- $v := .values -}}
{{- $shadow := $root.Values.compat.ingressNginx.shadow -}}
{{- $type := ternary "ClusterIP" .type $shadow -}}
{{- $outside := ne $type "ClusterIP" -}}
{{- $balanced := eq $type "LoadBalancer" -}}
{{- $nodePorts := ternary (dict) ($v.nodePorts | default dict) (not $outside) -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ .name }}
  namespace: {{ include "fairlead.namespace" $root }}
  labels:
    {{- include "fairlead.labels" (list $root "controller" $c.service.labels .labels) | nindent 4 }}
  {{- with ternary (dict) $v.annotations $shadow }}
  annotations:
    {{- include "fairlead.textMap" (list $root .) | nindent 4 }}
  {{- end }}
spec:
  type: {{ $type }}
  {{- with $v.clusterIP }}
  clusterIP: {{ . | quote }}
  {{- end }}
  {{- with $v.clusterIPs }}
  clusterIPs:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if not $shadow }}
  {{- with $v.externalIPs }}
  externalIPs:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
  {{- if $balanced }}
  {{- with $v.loadBalancerIP }}
  loadBalancerIP: {{ . | quote }}
  {{- end }}
  {{- with $v.loadBalancerSourceRanges }}
  loadBalancerSourceRanges:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $v.loadBalancerClass }}
  loadBalancerClass: {{ . }}
  {{- end }}
  {{- if kindIs "bool" $v.allocateLoadBalancerNodePorts }}
  allocateLoadBalancerNodePorts: {{ $v.allocateLoadBalancerNodePorts }}
  {{- end }}
  {{- end }}
  {{- if or $outside (and $v.externalIPs (not $shadow)) }}
  {{- with $v.externalTrafficPolicy }}
  externalTrafficPolicy: {{ . }}
  {{- end }}
  {{- end }}
  {{- if and $balanced (eq ($v.externalTrafficPolicy | toString) "Local") }}
  {{- with $v.healthCheckNodePort }}
  healthCheckNodePort: {{ . }}
  {{- end }}
  {{- end }}
  {{- with $v.sessionAffinity }}
  sessionAffinity: {{ . }}
  {{- end }}
  {{- with $v.trafficDistribution }}
  trafficDistribution: {{ . }}
  {{- end }}
  {{- with $v.ipFamilyPolicy }}
  ipFamilyPolicy: {{ . }}
  {{- end }}
  {{- with $v.ipFamilies }}
  ipFamilies:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  ports:
    {{- if $c.service.enableHttp }}
    - name: http
      port: {{ .ports.http }}
      protocol: TCP
      targetPort: {{ .targetPorts.http }}
      {{- if $v.appProtocol }}
      appProtocol: http
      {{- end }}
      {{- with $nodePorts.http }}
      nodePort: {{ . }}
      {{- end }}
    {{- end }}
    {{- if $c.service.enableHttps }}
    - name: https
      port: {{ .ports.https }}
      protocol: TCP
      targetPort: {{ .targetPorts.https }}
      {{- if $v.appProtocol }}
      appProtocol: https
      {{- end }}
      {{- with $nodePorts.https }}
      nodePort: {{ . }}
      {{- end }}
    {{- end }}
    {{- range $protocol, $map := dict "tcp" $root.Values.tcp "udp" $root.Values.udp }}
    {{- range $port, $_ := $map }}
    {{- $name := include "fairlead.streamPortName" (list $root $port $protocol) }}
    - name: {{ $name }}
      port: {{ $port }}
      protocol: {{ upper $protocol }}
      targetPort: {{ $name }}
      {{- with get (get $nodePorts $protocol | default dict) $port }}
      nodePort: {{ . }}
      {{- end }}
    {{- end }}
    {{- end }}
  selector:
    {{- include "fairlead.selectorLabels" $root | nindent 4 }}
    app.kubernetes.io/component: controller
{{- end -}}

{{/* A Service with one port, of the metrics, the webhook or the default back end. Takes a dict: root, values, name,
component, labels, portName, targetPort. */}}
{{- define "fairlead.plainService" -}}
{{- $v := .values -}}
{{- $root := .root -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ .name }}
  namespace: {{ include "fairlead.namespace" $root }}
  labels:
    {{- include "fairlead.labels" (list $root .component .labels) | nindent 4 }}
  {{- with $v.annotations }}
  annotations:
    {{- include "fairlead.textMap" (list $root .) | nindent 4 }}
  {{- end }}
spec:
  type: {{ $v.type }}
  {{- with $v.clusterIP }}
  clusterIP: {{ . | quote }}
  {{- end }}
  {{- with $v.clusterIPs }}
  clusterIPs:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $v.externalIPs }}
  externalIPs:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $v.loadBalancerIP }}
  loadBalancerIP: {{ . | quote }}
  {{- end }}
  {{- with $v.loadBalancerSourceRanges }}
  loadBalancerSourceRanges:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $v.externalTrafficPolicy }}
  externalTrafficPolicy: {{ . }}
  {{- end }}
  ports:
    - name: {{ .portName }}
      port: {{ $v.servicePort }}
      protocol: TCP
      targetPort: {{ .targetPort }}
      {{- if ne $v.type "ClusterIP" }}
      {{- with $v.nodePort }}
      nodePort: {{ . }}
      {{- end }}
      {{- end }}
  selector:
    {{- include "fairlead.selectorLabels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .selects }}
{{- end -}}
