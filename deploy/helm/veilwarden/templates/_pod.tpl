{{/* The image by digest when there is one. */}}
{{- define "veilwarden.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "veilwarden.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "veilwarden.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* The session secret and what Doppler needs; off unless the Secret has them. */}}
{{- define "veilwarden.env" -}}
- name: VEILWARDEN_SESSION_SECRET
  valueFrom:
    secretKeyRef:
      name: veilwarden-secrets
      key: session-secret
      optional: true
- name: DOPPLER_TOKEN
  valueFrom:
    secretKeyRef:
      name: veilwarden-secrets
      key: doppler-token
      optional: true
- name: DOPPLER_PROJECT
  value: {{ .Values.doppler.project | quote }}
- name: DOPPLER_CONFIG
  value: {{ .Values.doppler.config | quote }}
{{- end -}}

{{/* Whether the configuration looks at callers' pods: then there are the rights for it, and the node's name. */}}
{{- define "veilwarden.watchesPods" -}}
{{- $kubernetes := .Values.config.kubernetes | default dict -}}
{{- if or $kubernetes.pod_metadata (has $kubernetes.pod_binding (list "warn" "enforce")) -}}
true
{{- end -}}
{{- end -}}

{{- define "veilwarden.nodeName" -}}
- name: VEILWARDEN_NODE_NAME
  valueFrom:
    fieldRef:
      fieldPath: spec.nodeName
{{- end -}}

{{/* Whether the configuration names the CA that the Secret `veilwarden-ca` holds. */}}
{{- define "veilwarden.hasCa" -}}
{{- if hasPrefix "/etc/veilwarden-ca/" (dig "forward" "ca_cert_file" "" .Values.config) -}}
true
{{- end -}}
{{- end -}}

{{- define "veilwarden.volumeMounts" -}}
{{- if include "veilwarden.hasCa" . }}
- name: ca
  mountPath: /etc/veilwarden-ca
  readOnly: true
{{- end }}
- name: config
  mountPath: /etc/veilwarden
  readOnly: true
- name: policies
  mountPath: /etc/veilwarden/policies
  readOnly: true
- name: secrets
  mountPath: /etc/veilwarden/secrets
  readOnly: true
{{- end -}}

{{- define "veilwarden.volumes" -}}
{{- if include "veilwarden.hasCa" . }}
- name: ca
  secret:
    secretName: veilwarden-ca
    defaultMode: 288 # 0440
{{- end }}
- name: config
  configMap:
    name: veilwarden-config
- name: policies
  configMap:
    name: veilwarden-policies
- name: secrets
  secret:
    secretName: veilwarden-secrets
    optional: true
    defaultMode: 288 # 0440
{{- end -}}

{{- define "veilwarden.policies" -}}
{{- range $name, $text := .Values.policies }}
{{ $name }}: {{ $text | toJson }}
{{- else }}
{{ (.Files.Glob "policies/*.rego").AsConfig }}
{{- end }}
{{- end -}}

{{- define "veilwarden.labels" -}}
app: veilwarden
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}
