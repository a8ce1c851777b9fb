{{/* The flags of the controller. */}}

{{/* One flag, unless extraArgs has it under one of its names. Takes a list: the root, the value, the names. */}}
{{- define "fairlead.flag" -}}
{{- $extra := (first .).Values.controller.extraArgs | default dict -}}
{{- $names := slice . 2 -}}
{{- $given := false -}}
{{- range $names -}}{{- if hasKey $extra . -}}{{- $given = true -}}{{- end -}}{{- end -}}
{{- if not $given }}
- {{ printf "--%s=%s" (first $names) (include "fairlead.text" (index . 1)) | quote }}
{{- end -}}
{{- end -}}

{{/* The value of a flag: from extraArgs under one of its names, else as given. Takes a list as above. */}}
{{- define "fairlead.flagValue" -}}
{{- $extra := (first .).Values.controller.extraArgs | default dict -}}
{{- $value := index . 1 -}}
{{- range slice . 2 -}}{{- if hasKey $extra . -}}{{- $value = get $extra . -}}{{- end -}}{{- end -}}
{{- include "fairlead.text" $value -}}
{{- end -}}

{{- define "fairlead.healthPort" -}}
{{- include "fairlead.flagValue" (list . .Values.controller.metrics.port "health-port" "healthz-port") -}}
{{- end -}}

{{- define "fairlead.writesStatus" -}}
{{- if eq (include "fairlead.flagValue" (list . (not .Values.compat.ingressNginx.shadow) "update-status")) "true" -}}true{{- end -}}
{{- end -}}

{{- define "fairlead.writesEvents" -}}
{{- if eq (include "fairlead.flagValue" (list . (not .Values.compat.ingressNginx.shadow) "events")) "true" -}}true{{- end -}}
{{- end -}}

{{/* The Service whose address goes into the status, or nothing. */}}
{{- define "fairlead.publishService" -}}
{{- $c := .Values.controller -}}
{{- if and $c.publishService.enabled $c.service.enabled -}}
{{- $name := include "fairlead.controller.fullname" . -}}
{{- if $c.publishService.pathOverride -}}
{{- $c.publishService.pathOverride -}}
{{- else if $c.service.external.enabled -}}
{{- printf "%s/%s" (include "fairlead.namespace" .) $name -}}
{{- else if $c.service.internal.enabled -}}
{{- printf "%s/%s-internal" (include "fairlead.namespace" .) $name -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Whether the program reads Nodes: for addresses in the status, or for zones. */}}
{{- define "fairlead.readsNodes" -}}
{{- $c := .Values.controller -}}
{{- $extra := $c.extraArgs | default dict -}}
{{- $published := or (include "fairlead.publishService" .) (hasKey $extra "publish-service") (hasKey $extra "publish-status-address") -}}
{{- if or .Values.rbac.nodes $c.enableTopologyAwareRouting (hasKey $extra "enable-topology-aware-routing") (not $published) -}}true{{- end -}}
{{- end -}}

{{- define "fairlead.args" -}}
{{- $c := .Values.controller -}}
{{- $namespace := include "fairlead.namespace" . -}}
- serve
{{- include "fairlead.flag" (list . (include "fairlead.controllerClass" .) "controller-class") }}
{{- with include "fairlead.ingressClass" . }}
{{- include "fairlead.flag" (list $ . "ingress-class") }}
{{- end }}
{{- if $c.ingressClassByName }}
{{- include "fairlead.flag" (list . true "ingress-class-by-name") }}
{{- end }}
{{- if $c.watchIngressWithoutClass }}
{{- include "fairlead.flag" (list . true "watch-ingress-without-class") }}
{{- end }}
{{- include "fairlead.flag" (list . (printf "%s/%s" (default $namespace $c.configMapNamespace) (include "fairlead.controller.fullname" .)) "configmap") }}
{{- if .Values.tcp }}
{{- include "fairlead.flag" (list . (printf "%s/%s-tcp" (default $namespace $c.tcp.configMapNamespace) (include "fairlead.fullname" .)) "tcp-services-configmap") }}
{{- end }}
{{- if .Values.udp }}
{{- include "fairlead.flag" (list . (printf "%s/%s-udp" (default $namespace $c.udp.configMapNamespace) (include "fairlead.fullname" .)) "udp-services-configmap") }}
{{- end }}
{{- if .Values.defaultBackend.enabled }}
{{- include "fairlead.flag" (list . (printf "%s/%s" $namespace (include "fairlead.defaultBackend.fullname" .)) "default-backend-service") }}
{{- end }}
{{- if $c.scope.enabled }}
{{- include "fairlead.flag" (list . (default $namespace $c.scope.namespace) "watch-namespace") }}
{{- else if $c.scope.namespaceSelector }}
{{- include "fairlead.flag" (list . $c.scope.namespaceSelector "watch-namespace-selector") }}
{{- end }}
{{- if and (include "fairlead.publishService" .) (not (hasKey ($c.extraArgs | default dict) "publish-status-address")) }}
{{- include "fairlead.flag" (list . (include "fairlead.publishService" .) "publish-service") }}
{{- end }}
{{- if $c.reportNodeInternalIp }}
{{- include "fairlead.flag" (list . true "report-node-internal-ip-address") }}
{{- end }}
{{- if $c.disableLeaderElection }}
{{- include "fairlead.flag" (list . true "disable-leader-election") }}
{{- else }}
{{- include "fairlead.flag" (list . (include "fairlead.electionId" .) "election-id") }}
{{- end }}
{{- with $c.electionTTL }}
{{- include "fairlead.flag" (list $ . "election-ttl") }}
{{- end }}
{{- if .Values.compat.ingressNginx.shadow }}
{{- include "fairlead.flag" (list . false "update-status") }}
{{- include "fairlead.flag" (list . false "events") }}
{{- end }}
{{- if .Values.compat.ingressNginx.enabled }}
{{- include "fairlead.flag" (list . "nginx" "metrics-compat") }}
{{- end }}
{{- if not $c.metrics.enabled }}
{{- include "fairlead.flag" (list . false "enable-metrics") }}
{{- end }}
{{- if ne (int $c.metrics.port) 10254 }}
{{- include "fairlead.flag" (list . $c.metrics.port "health-port" "healthz-port") }}
{{- end }}
{{- with $c.healthCheckHost }}
{{- include "fairlead.flag" (list $ . "healthz-host") }}
{{- end }}
{{- if ne $c.healthCheckPath "/healthz" }}
{{- include "fairlead.flag" (list . $c.healthCheckPath "health-check-path") }}
{{- end }}
{{- with $c.containerPort.http }}{{- if ne (int .) 80 }}
{{- include "fairlead.flag" (list $ . "http-port") }}
{{- end }}{{- end }}
{{- with $c.containerPort.https }}{{- if ne (int .) 443 }}
{{- include "fairlead.flag" (list $ . "https-port") }}
{{- end }}{{- end }}
{{- if not $c.enableAnnotationValidations }}
{{- include "fairlead.flag" (list . false "enable-annotation-validation") }}
{{- end }}
{{- if $c.enableTopologyAwareRouting }}
{{- include "fairlead.flag" (list . true "enable-topology-aware-routing") }}
{{- end }}
{{- if $c.admissionWebhooks.enabled }}
{{- include "fairlead.flag" (list . (printf ":%d" (int $c.admissionWebhooks.port)) "validating-webhook") }}
{{- if $c.admissionWebhooks.certManager.enabled }}
{{- include "fairlead.flag" (list . $c.admissionWebhooks.certificate "validating-webhook-certificate") }}
{{- include "fairlead.flag" (list . $c.admissionWebhooks.key "validating-webhook-key") }}
{{- else }}
{{- include "fairlead.flag" (list . (include "fairlead.webhook.configuration" .) "validating-webhook-configuration") }}
{{- include "fairlead.flag" (list . (printf "%s/%s" $namespace (include "fairlead.webhook.fullname" .)) "validating-webhook-secret") }}
{{- end }}
{{- end }}
{{- include "fairlead.flag" (list . $c.shutdownGracePeriod "shutdown-grace-period") }}
{{- include "fairlead.extraArgs" $c.extraArgs }}
{{- end -}}

{{/* A map of flags: a list repeats the flag, an empty value is the flag alone. */}}
{{- define "fairlead.extraArgs" -}}
{{- range $name, $value := . }}
{{- range $one := ternary $value (list $value) (kindIs "slice" $value) }}
{{- if or (kindIs "invalid" $one) (eq (toString $one) "") }}
- {{ printf "--%s" $name | quote }}
{{- else }}
- {{ printf "--%s=%s" $name (include "fairlead.text" $one) | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}
