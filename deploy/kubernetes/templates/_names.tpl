{{/* Names, labels and references that every template shares. The argument is the root context unless said otherwise. */}}

{{- define "rtp.prefix" -}}
{{- .Values.nameOverride | default .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "rtp.image" -}}
{{- .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion -}}
{{- end -}}

{{/* Argument: dict root, component. */}}
{{- define "rtp.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Argument: dict root, component. */}}
{{- define "rtp.labels" -}}
{{ include "rtp.selector" . }}
app.kubernetes.io/version: {{ .root.Values.image.tag | default .root.Chart.AppVersion | trunc 63 | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "rtp.strimziCluster" -}}
{{- .Values.operators.strimzi.cluster | default (printf "%s-kafka" (include "rtp.prefix" .)) -}}
{{- end -}}

{{- define "rtp.postgresCluster" -}}
{{- .Values.operators.cloudnativepg.cluster | default (printf "%s-postgres" (include "rtp.prefix" .)) -}}
{{- end -}}

{{- define "rtp.kafkaBootstrap" -}}
{{- if .Values.operators.strimzi.enabled -}}
{{ include "rtp.strimziCluster" . }}-kafka-bootstrap:9093
{{- else -}}
{{ required "kafka.bootstrap is needed (host:port), unless operators.strimzi.enabled" .Values.kafka.bootstrap }}
{{- end -}}
{{- end -}}

{{- define "rtp.postgresHost" -}}
{{- if .Values.operators.cloudnativepg.enabled -}}
{{ include "rtp.postgresCluster" . }}-rw
{{- else -}}
{{ required "postgres.host is needed, unless operators.cloudnativepg.enabled" .Values.postgres.host }}
{{- end -}}
{{- end -}}

{{/* The secret with the authority of PostgreSQL's certificate: dict name, key as YAML, empty for none. */}}
{{- define "rtp.postgresCa" -}}
{{- if .Values.postgres.caSecret.name -}}
{{- toYaml .Values.postgres.caSecret -}}
{{- else if .Values.operators.cloudnativepg.enabled -}}
{{- toYaml (dict "name" (printf "%s-ca" (include "rtp.postgresCluster" .)) "key" "ca.crt") -}}
{{- end -}}
{{- end -}}

{{/* A connection string without TLS details hidden in it. Argument: dict root, role, database, scheme. The password is
     filled in by the kubelet from the variable beside it. */}}
{{- define "rtp.dsn" -}}
{{- $postgres := .root.Values.postgres -}}
{{- $ca := include "rtp.postgresCa" .root -}}
{{ .scheme }}://{{ (index $postgres.roles .role).user }}:$(POSTGRES_{{ upper .role }}_PASSWORD)@{{ include "rtp.postgresHost" .root }}:{{ $postgres.port }}/{{ .database }}?sslmode={{ ternary "verify-full" $postgres.sslmode (and .root.Values.operators.cloudnativepg.enabled (eq $postgres.sslmode "prefer")) }}
{{- if $ca }}&sslrootcert=/run/rtp/postgres-ca/{{ (fromYaml $ca).key }}{{ end -}}
{{- end -}}

{{/* Hosts that pages and APIs answer to: the Service's names, the Ingress's, and the pod's own address (for Prometheus).
     Argument: dict root, component. */}}
{{- define "rtp.allowedHosts" -}}
{{- $service := printf "%s-%s" (include "rtp.prefix" .root) .component -}}
{{- $names := list $service (printf "%s.%s" $service .root.Release.Namespace) (printf "%s.%s.svc" $service .root.Release.Namespace) (printf "%s.%s.svc.cluster.local" $service .root.Release.Namespace) "$(POD_IP)" -}}
{{- range .root.Values.ingress.hosts }}{{ $names = append $names . }}{{ end -}}
{{- concat $names .root.Values.allowedHosts | uniq | join "," -}}
{{- end -}}
