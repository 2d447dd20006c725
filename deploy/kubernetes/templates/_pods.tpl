{{/* What the pods have in common: environment, volumes, security, placement. */}}

{{/* Settings of every program of ours. Argument: dict root, component. */}}
{{- define "rtp.env.common" -}}
- {name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
- {name: RTP_BIND_HOST, value: "0.0.0.0"}
- {name: RTP_ALLOWED_HOSTS, value: {{ include "rtp.allowedHosts" . | quote }}}
{{- with .root.Values.apiTokenSecret.name }}
- {name: RTP_API_TOKEN, valueFrom: {secretKeyRef: {name: {{ . }}, key: {{ $.root.Values.apiTokenSecret.key }}}}}
{{- end }}
{{- with .root.Values.readTokenSecret.name }}
- {name: RTP_READ_TOKEN, valueFrom: {secretKeyRef: {name: {{ . }}, key: {{ $.root.Values.readTokenSecret.key }}}}}
{{- end }}
{{- range $name, $value := .root.Values.settings }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end -}}

{{/* Argument: the root context. */}}
{{- define "rtp.env.kafka" -}}
{{- $kafka := .Values.kafka -}}
- {name: RTP_KAFKA_BOOTSTRAP, value: {{ include "rtp.kafkaBootstrap" . | quote }}}
- {name: RTP_TOPIC, value: {{ $kafka.topic | quote }}}
- {name: RTP_GROUP_ID, value: {{ $kafka.groupId | quote }}}
- {name: RTP_TOPIC_PARTITIONS, value: {{ $kafka.partitions | quote }}}
{{- if $kafka.replication }}
- {name: RTP_TOPIC_REPLICATION, value: {{ $kafka.replication | quote }}}
{{- end }}
{{- if $kafka.minInsync }}
- {name: RTP_TOPIC_MIN_INSYNC, value: {{ $kafka.minInsync | quote }}}
{{- end }}
{{- if ne $kafka.groupProtocol "classic" }}
- {name: RTP_CONSUMER_GROUP_PROTOCOL, value: {{ $kafka.groupProtocol | quote }}}
{{- end }}
{{- if $kafka.rack }}
- {name: RTP_KAFKA_RACK, value: {{ $kafka.rack | quote }}}
{{- else if $kafka.rackFieldPath }}
- {name: RTP_KAFKA_RACK, valueFrom: {fieldRef: {fieldPath: {{ $kafka.rackFieldPath | quote }}}}}
{{- end }}
{{- if .Values.operators.strimzi.enabled }}
- name: RTP_KAFKA_CLIENT_CONFIG
  value: '{"security.protocol": "SSL", "ssl.ca.location": "/run/rtp/kafka-ca/ca.crt", "ssl.certificate.location": "/run/rtp/kafka/user.crt", "ssl.key.location": "/run/rtp/kafka/user.key"}'
{{- else if $kafka.clientConfigSecret.name }}
- {name: RTP_KAFKA_CLIENT_CONFIG, value: "/run/rtp/kafka/{{ $kafka.clientConfigSecret.key }}"}
{{- end }}
{{- end -}}

{{/* Connection strings of some roles. Argument: dict root, roles. */}}
{{- define "rtp.env.postgres" -}}
{{- $root := .root -}}
{{- $settings := dict "owner" "RTP_POSTGRES_DSN" "ingest" "RTP_POSTGRES_INGEST_DSN" "read" "RTP_POSTGRES_READ_DSN" "insights" "RTP_POSTGRES_INSIGHTS_DSN" "dagster" "RTP_DAGSTER_POSTGRES_DSN" -}}
{{- range .roles }}
{{- $role := index $root.Values.postgres.roles . }}
{{- $database := eq . "dagster" | ternary $root.Values.postgres.dagsterDatabase $root.Values.postgres.database }}
- {name: POSTGRES_{{ upper . }}_PASSWORD, valueFrom: {secretKeyRef: {name: {{ $role.secret }}, key: {{ $role.key }}}}}
- {name: {{ index $settings . }}, value: {{ include "rtp.dsn" (dict "root" $root "role" . "database" $database "scheme" "postgresql") | quote }}}
{{- if eq . "dagster" }}
- {name: DAGSTER_STORAGE_URL, value: {{ include "rtp.dsn" (dict "root" $root "role" . "database" $database "scheme" "postgresql+psycopg2") | quote }}}
- {name: DAGSTER_HOME, value: /etc/dagster}
{{- end }}
{{- end }}
{{- end -}}

{{/* Where the other parts are, for `rtp status` and Dagster. Argument: the root context. */}}
{{- define "rtp.env.parts" -}}
- {name: RTP_CONSUMER_URL, value: "http://{{ include "rtp.prefix" . }}-consumer:8002"}
{{- if .Values.producer.enabled }}
- {name: RTP_PRODUCER_URL, value: "http://{{ include "rtp.prefix" . }}-producer:8001"}
{{- end }}
- {name: RTP_DAGSTER_URL, value: "http://{{ include "rtp.prefix" . }}-webserver:3000"}
{{- end -}}

{{/* The environment of the code location and of every run. Argument: the root context. */}}
{{- define "rtp.env.batch" -}}
{{ include "rtp.env.common" (dict "root" . "component" "batch") }}
{{ include "rtp.env.kafka" . }}
{{- include "rtp.env.postgres" (dict "root" . "roles" (list "ingest" "read" "insights" "dagster")) }}
{{ include "rtp.env.parts" . }}
{{- if .Values.batch.dataClaim }}
- {name: RTP_DATA_DIR, value: /data}
{{- end }}
{{- range $name, $value := .Values.batch.settings }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- range $name, $from := .Values.batch.secretSettings }}
- {name: {{ $name }}, valueFrom: {secretKeyRef: {name: {{ $from.name }}, key: {{ $from.key }}}}}
{{- end }}
{{- end -}}

{{/* Argument: dict root, kafka, postgres, dagster, data (each a flag). */}}
{{- define "rtp.mounts" -}}
- {name: tmp, mountPath: /tmp}
- {name: home, mountPath: /var/lib/rtp}
{{- if .kafka }}
{{- if .root.Values.operators.strimzi.enabled }}
- {name: kafka, mountPath: /run/rtp/kafka, readOnly: true}
- {name: kafka-ca, mountPath: /run/rtp/kafka-ca, readOnly: true}
{{- else if .root.Values.kafka.clientConfigSecret.name }}
- {name: kafka, mountPath: /run/rtp/kafka, readOnly: true}
{{- end }}
{{- end }}
{{- if and .postgres (include "rtp.postgresCa" .root) }}
- {name: postgres-ca, mountPath: /run/rtp/postgres-ca, readOnly: true}
{{- end }}
{{- if .dagster }}
- {name: dagster-storage, mountPath: /var/lib/dagster}
{{- end }}
{{- if .instance }}
- {name: instance, mountPath: /etc/dagster, readOnly: true}
{{- end }}
{{- if and .data .root.Values.batch.dataClaim }}
- {name: data, mountPath: /data, readOnly: true}
{{- end }}
{{- end -}}

{{/* Argument: as of rtp.mounts. */}}
{{- define "rtp.volumes" -}}
- {name: tmp, emptyDir: {}}
- {name: home, emptyDir: {}}
{{- if .kafka }}
{{- if .root.Values.operators.strimzi.enabled }}
- {name: kafka, secret: {secretName: {{ include "rtp.prefix" .root }}, defaultMode: 0440}}
- {name: kafka-ca, secret: {secretName: {{ include "rtp.strimziCluster" .root }}-cluster-ca-cert, defaultMode: 0440}}
{{- else if .root.Values.kafka.clientConfigSecret.name }}
- {name: kafka, secret: {secretName: {{ .root.Values.kafka.clientConfigSecret.name }}, defaultMode: 0440}}
{{- end }}
{{- end }}
{{- if and .postgres (include "rtp.postgresCa" .root) }}
- {name: postgres-ca, secret: {secretName: {{ (fromYaml (include "rtp.postgresCa" .root)).name }}, defaultMode: 0440, items: [{key: {{ (fromYaml (include "rtp.postgresCa" .root)).key }}, path: {{ (fromYaml (include "rtp.postgresCa" .root)).key }}}]}}
{{- end }}
{{- if .dagster }}
- {name: dagster-storage, emptyDir: {}}
{{- end }}
{{- if .instance }}
- {name: instance, configMap: {name: {{ include "rtp.prefix" .root }}-dagster}}
{{- end }}
{{- if and .data .root.Values.batch.dataClaim }}
- {name: data, persistentVolumeClaim: {claimName: {{ .root.Values.batch.dataClaim }}, readOnly: true}}
{{- end }}
{{- end -}}

{{- define "rtp.podSecurity" -}}
{runAsNonRoot: true, runAsUser: 10001, runAsGroup: 10001, fsGroup: 10001, fsGroupChangePolicy: OnRootMismatch, seccompProfile: {type: RuntimeDefault}}
{{- end -}}

{{- define "rtp.containerSecurity" -}}
{allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
{{- end -}}

{{/* The parts of a pod's spec that no component chooses. Argument: dict root, component. */}}
{{- define "rtp.placement" -}}
# A variable per Service would be taken for settings of ours or of Kafka's.
enableServiceLinks: false
securityContext: {{ include "rtp.podSecurity" . }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
{{- with .root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .root.Values.nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations: {{ toJson . }}
{{- end }}
{{- with .root.Values.affinity }}
affinity: {{ toJson . }}
{{- end }}
{{- if .root.Values.topologySpread }}
topologySpreadConstraints:
{{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector: {matchLabels: { {{- include "rtp.selector" $ | replace "\n" ", " -}} }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Argument: dict root, port. */}}
{{- define "rtp.scrape" -}}
{{- if .root.Values.monitoring.annotations }}
prometheus.io/scrape: "true"
prometheus.io/port: {{ .port | quote }}
prometheus.io/path: /metrics
{{- end }}
{{- end -}}

{{/* Probes of our APIs. /health/live notices a loop that hangs; /health/ready one that makes no progress. The Host header is a
     name that the API's guard knows. Argument: the port's name. */}}
{{- define "rtp.probes" -}}
startupProbe:
  httpGet: {path: /health/live, port: {{ . }}, httpHeaders: [{name: Host, value: localhost}]}
  periodSeconds: 3
  timeoutSeconds: 5
  failureThreshold: 100
livenessProbe:
  httpGet: {path: /health/live, port: {{ . }}, httpHeaders: [{name: Host, value: localhost}]}
  periodSeconds: 10
  timeoutSeconds: 10
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /health/ready, port: {{ . }}, httpHeaders: [{name: Host, value: localhost}]}
  periodSeconds: 5
  timeoutSeconds: 10
  failureThreshold: 3
{{- end -}}
