{{/* Keys of ingress-nginx's chart that are accepted and do nothing: one JSON object a line, from which the schema is made
too. "neutral" are values that ask for nothing, "when" is a key that must be set for it to matter. */}}
{{- define "fairlead.noEffect" -}}
controller.image.chroot: {"type": "boolean", "why": "there is no nginx to lock in"}
controller.image.digestChroot: {"type": "string", "why": "there is no nginx to lock in"}
controller.enableMimalloc: {"type": "boolean", "neutral": [true], "why": "the allocator is built in"}
controller.extraModules: {"type": "array", "why": "there are no nginx modules"}
controller.maxmindLicenseKey: {"type": "string", "why": "there is no GeoIP"}
controller.customTemplate.configMapName: {"type": "string", "why": "there is no nginx.conf"}
controller.customTemplate.configMapKey: {"type": "string", "why": "there is no nginx.conf"}
controller.opentelemetry: {"type": "object", "whenBelow": "enabled", "why": "no module is needed; use the keys of controller.config"}
controller.autoscalingTemplate: {"type": "array", "why": "further metrics are not supported yet; write the HorizontalPodAutoscaler into extraObjects"}
controller.autoscaling.apiVersion: {"type": "string", "neutral": ["autoscaling/v2"], "why": "it is always autoscaling/v2"}
controller.keda: {"type": "object", "whenBelow": "enabled", "why": "KEDA is not supported yet; write the ScaledObject into extraObjects"}
controller.admissionWebhooks.patch: {"type": "object", "when": "controller.admissionWebhooks.enabled", "why": "the controller makes its certificate itself"}
controller.admissionWebhooks.createSecretJob: {"type": "object", "when": "controller.admissionWebhooks.enabled", "why": "the controller makes its certificate itself"}
controller.admissionWebhooks.patchWebhookJob: {"type": "object", "when": "controller.admissionWebhooks.enabled", "why": "the controller makes its certificate itself"}
controller.admissionWebhooks.extraEnvs: {"type": "array", "when": "controller.admissionWebhooks.enabled", "why": "the controller makes its certificate itself"}
controller.admissionWebhooks.existingPsp: {"type": "string", "why": "Kubernetes has no PodSecurityPolicy any more"}
controller.existingPsp: {"type": "string", "why": "Kubernetes has no PodSecurityPolicy any more"}
controller.stats: {"type": "object", "whenBelow": "enabled", "why": "statistics are in /metrics"}
controller.useComponentLabel: {"type": "boolean", "neutral": [true], "why": "the label is always there"}
controller.service.omitClusterIP: {"type": "boolean", "neutral": [true], "why": "an empty clusterIP is never written"}
defaultBackend.autoscaling: {"type": "object", "whenBelow": "enabled", "why": "the default back end is not scaled yet; set defaultBackend.replicaCount"}
defaultBackend.minAvailable: {"type": ["integer", "string"], "neutral": [1], "why": "the default back end has no disruption budget yet"}
defaultBackend.maxUnavailable: {"type": ["integer", "string"], "why": "the default back end has no disruption budget yet"}
defaultBackend.unhealthyPodEvictionPolicy: {"type": "string", "why": "the default back end has no disruption budget yet"}
dhParam: {"type": "string", "why": "there are no ciphers with finite-field Diffie-Hellman"}
podSecurityPolicy: {"type": "object", "whenBelow": "enabled", "why": "Kubernetes has no PodSecurityPolicy any more"}
{{- end -}}

{{/* The value at a path, as JSON; nothing if there is none. Takes a list: a map, the path with dots. */}}
{{- define "fairlead.valueAt" -}}
{{- $node := first . -}}
{{- $found := true -}}
{{- range splitList "." (index . 1) -}}
{{- if and $found (kindIs "map" $node) -}}
{{- if hasKey $node . -}}{{- $node = get $node . -}}{{- else -}}{{- $found = false -}}{{- end -}}
{{- else -}}
{{- $found = false -}}
{{- end -}}
{{- end -}}
{{- if $found -}}{{- if not (empty $node) -}}{{- toJson $node -}}{{- end -}}{{- end -}}
{{- end -}}

{{/* A line "key: why" for each key that is set and does nothing. */}}
{{- define "fairlead.withoutEffect" -}}
{{- $values := deepCopy .Values.AsMap -}}
{{- range $path, $row := include "fairlead.noEffect" . | fromYaml -}}
{{- $json := include "fairlead.valueAt" (list $values $path) -}}
{{- $applies := ne $json "" -}}
{{- range $row.neutral -}}{{- if eq (toJson .) $json -}}{{- $applies = false -}}{{- end -}}{{- end -}}
{{- with $row.when -}}{{- if ne (include "fairlead.valueAt" (list $values .)) "true" -}}{{- $applies = false -}}{{- end -}}{{- end -}}
{{- with $row.whenBelow -}}{{- if ne (include "fairlead.valueAt" (list $values (printf "%s.%s" $path .))) "true" -}}{{- $applies = false -}}{{- end -}}{{- end -}}
{{- if $applies }}
{{ $path }}: {{ $row.why }}
{{- end -}}
{{- end -}}
{{- include "fairlead.unknown" (list $values (include "fairlead.known" . | fromJson) "") -}}
{{- end -}}

{{/* A line for each key that the chart does not know. Takes a list: the values, the known keys, the path. */}}
{{- define "fairlead.unknown" -}}
{{- $known := index . 1 -}}
{{- $path := index . 2 -}}
{{- range $key, $value := first . -}}
{{- if hasKey $known $key -}}
{{- if and (kindIs "map" $value) (kindIs "map" (get $known $key)) -}}
{{- include "fairlead.unknown" (list $value (get $known $key) (printf "%s%s." $path $key)) -}}
{{- end -}}
{{- else if not (and (eq $path "") (or (has $key (list "global" "enabled" "tags")) (hasPrefix "x-" $key))) }}
{{ $path }}{{ $key }}: this chart has no such key
{{- end -}}
{{- end -}}
{{- end -}}
