{{/* What cannot be installed is refused here, with what to do about it. */}}
{{- define "fairlead.validate" -}}
{{- $c := .Values.controller -}}
{{- $compat := .Values.compat.ingressNginx -}}
{{- $problems := list -}}

{{- $names := list (.Values.global.image.registry | toString) ($c.image.registry | toString) ($c.image.repository | toString) ($c.image.image | toString) (printf "tag %s" ($c.image.tag | toString)) -}}
{{- $found := "" -}}
{{- range $names -}}{{- if regexMatch "nginx|^registry\\.k8s\\.io|^k8s\\.gcr\\.io|^tag v[0-9]" . -}}{{- $found = . -}}{{- end -}}{{- end -}}
{{- if $found -}}
{{- $problems = append $problems (printf "controller.image and global.image.registry name an image of ingress-nginx (%s); drop the keys registry, repository, image, tag and digest from these two blocks" $found) -}}
{{- end -}}

{{- if and .Values.rbac.scope (not $c.scope.enabled) -}}
{{- $problems = append $problems "rbac.scope gives rights in one namespace only, so controller.scope.enabled must be true too" -}}
{{- end -}}
{{- if and (or $compat.shadow $compat.createClass) (not $compat.enabled) -}}
{{- $problems = append $problems "compat.ingressNginx.shadow and createClass act only with compat.ingressNginx.enabled: true" -}}
{{- end -}}
{{- if and .Values.tcp (hasKey .Values.tcp (include "fairlead.healthPort" .)) -}}
{{- $problems = append $problems "tcp names the health port; move one of them" -}}
{{- end -}}
{{- range $name, $port := $c.containerPort -}}
{{- if hasKey ($.Values.tcp | default dict) (include "fairlead.text" $port) -}}
{{- $problems = append $problems (printf "tcp names port %v, which is controller.containerPort.%s; take another" $port $name) -}}
{{- end -}}
{{- end -}}
{{- range $protocol, $map := dict "tcp" .Values.tcp "udp" .Values.udp -}}
{{- range $port, $_ := $map -}}
{{- $name := include "fairlead.streamPortName" (list $ $port $protocol) -}}
{{- if gt (len $name) 15 -}}
{{- $problems = append $problems (printf "the port name %s is longer than the 15 characters Kubernetes allows; shorten portNamePrefix" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- $flags := include "fairlead.knownFlags" . | fromJsonArray -}}
{{- range $name, $_ := $c.extraArgs -}}
{{- if not (has $name $flags) -}}
{{- $problems = append $problems (printf "controller.extraArgs: the program has no flag --%s" $name) -}}
{{- end -}}
{{- end -}}

{{- if .Values.strict -}}
{{- range splitList "\n" (include "fairlead.withoutEffect" . | trim) -}}
{{- if . -}}{{- $problems = append $problems (printf "strict: %s" .) -}}{{- end -}}
{{- end -}}
{{- end -}}

{{- if $problems -}}
{{- fail (printf "\n\n  %s\n" (join "\n  " $problems)) -}}
{{- end -}}
{{- end -}}

{{/* A time as the program reads it, in seconds: a bare number, or with s, m or h; nothing if it is something else. */}}
{{- define "fairlead.seconds" -}}
{{- $number := regexFind "^[0-9]+" . -}}
{{- if regexMatch "^[0-9]+s?$" . -}}{{- $number -}}
{{- else if regexMatch "^[0-9]+m$" . -}}{{- mul (int $number) 60 -}}
{{- else if regexMatch "^[0-9]+h$" . -}}{{- mul (int $number) 3600 -}}
{{- end -}}
{{- end -}}

{{/* Whether the time a Pod may take to end is too short for it to drain. */}}
{{- define "fairlead.endsTooSoon" -}}
{{- $c := .Values.controller -}}
{{- $grace := include "fairlead.seconds" (include "fairlead.flagValue" (list . $c.shutdownGracePeriod "shutdown-grace-period")) -}}
{{- $drain := include "fairlead.seconds" (include "fairlead.flagValue" (list . (get ($c.config | default dict) "worker-shutdown-timeout" | default "240s") "drain-timeout")) -}}
{{- if and $grace $drain -}}
{{- if gt (add (int $grace) (int $drain)) (int $c.terminationGracePeriodSeconds) -}}{{- add (int $grace) (int $drain) -}}{{- end -}}
{{- end -}}
{{- end -}}
