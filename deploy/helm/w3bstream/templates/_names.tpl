{{- define "w3bstream.name" -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "w3bstream.cluster" -}}
{{ include "w3bstream.name" . }}-ray
{{- end -}}

{{- define "w3bstream.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- define "w3bstream.selector" -}}
app.kubernetes.io/name: w3bstream
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "w3bstream.labels" -}}
{{ include "w3bstream.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{- /* The same name as coordinator/dispatch/ray_runtime.py:resource_name; a test compares them. */ -}}
{{- define "w3bstream.resource" -}}
prover_{{ . | replace "." "_" | replace "-" "_" }}
{{- end -}}

{{- define "w3bstream.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ .Values.securityContext.id }}
runAsGroup: {{ .Values.securityContext.id }}
fsGroup: {{ .Values.securityContext.id }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "w3bstream.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "w3bstream.rayVolumes" -}}
- name: tmp
  emptyDir: {}
- name: proving-keys
  persistentVolumeClaim: {claimName: {{ include "w3bstream.name" . }}-proving-keys}
{{- end -}}

{{- /* KubeRay makes the Secret, named like the cluster, and gives it to the cluster's own pods (authOptions). */ -}}
{{- define "w3bstream.rayToken" -}}
- {name: HOME, value: /tmp}
- {name: RAY_AUTH_MODE, value: token}
- name: RAY_AUTH_TOKEN
  valueFrom:
    secretKeyRef: {name: {{ include "w3bstream.cluster" . }}, key: auth_token}
{{- end -}}

{{- define "w3bstream.probes" -}}
startupProbe:
  tcpSocket: {port: api}
  periodSeconds: 5
  failureThreshold: 120
readinessProbe:
  httpGet: {path: /readyz, port: metrics}
  periodSeconds: 10
  timeoutSeconds: 10
livenessProbe:
  httpGet: {path: /healthz, port: metrics}
  periodSeconds: 20
  timeoutSeconds: 10
  failureThreshold: 6
{{- end -}}
