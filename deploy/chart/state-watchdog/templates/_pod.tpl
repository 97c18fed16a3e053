{{/* What of the pod depends on the mode. */}}
{{- define "state-watchdog.securityContext" -}}
{{- $ebpf := ne .Values.mode "inotify-only" -}}
readOnlyRootFilesystem: true
runAsUser: {{ .Values.runAsUser }}
runAsGroup: {{ .Values.runAsGroup }}
{{- if gt (int .Values.runAsUser) 0 }}
runAsNonRoot: true
{{- end }}
{{- if eq .Values.mode "privileged" }}
privileged: true
{{- else }}
privileged: false
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
  {{- if $ebpf }}
  add:
    - BPF
    - PERFMON
    - SYS_PTRACE
    - DAC_READ_SEARCH
    {{- range .Values.extraCapabilities }}
    - {{ . }}
    {{- end }}
  {{- end }}
seccompProfile:
  {{- if .Values.seccompProfile }}
  {{- toYaml .Values.seccompProfile | nindent 2 }}
  {{- else if $ebpf }}
  type: Unconfined
  {{- else }}
  type: RuntimeDefault
  {{- end }}
{{- if and $ebpf (include "state-watchdog.hasAppArmorField" .) }}
appArmorProfile:
  {{- toYaml .Values.appArmorProfile | nindent 2 }}
{{- end }}
{{- end }}
{{- with .Values.seLinuxOptions }}
seLinuxOptions:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Servers before 1.30 have an annotation instead of the field. */}}
{{- define "state-watchdog.hasAppArmorField" -}}
{{- if semverCompare ">=1.30.0-0" .Capabilities.KubeVersion.Version }}yes{{ end }}
{{- end }}

{{- define "state-watchdog.appArmorAnnotation" -}}
{{- if and (eq .Values.mode "least-privilege") (not (include "state-watchdog.hasAppArmorField" .)) -}}
{{- $profile := .Values.appArmorProfile -}}
container.apparmor.security.beta.kubernetes.io/state-watchdog: {{ if eq $profile.type "Localhost" -}}
  localhost/{{ $profile.localhostProfile }}
{{- else if eq $profile.type "RuntimeDefault" -}}
  runtime/default
{{- else -}}
  unconfined
{{- end }}
{{- end }}
{{- end }}

{{- define "state-watchdog.args" -}}
- run
- --host-root=/host
- --listen={{ if contains ":" .Values.listenAddress }}[{{ .Values.listenAddress }}]{{ else }}{{ .Values.listenAddress }}{{ end }}:{{ .Values.port }}
- --source={{ ternary "inotify" .Values.agent.source (eq .Values.mode "inotify-only") }}
- --findings={{ .Values.agent.findings }}
- --arguments={{ .Values.agent.arguments | default "redacted" }}
- --log-format={{ .Values.agent.logFormat }}
{{- if not .Values.agent.witness }}
- --no-witness
{{- end }}
{{- if .Values.agent.config }}
- --config=/etc/state-watchdog/config.toml
{{- end }}
{{- if include "state-watchdog.webSecret" . }}
- --web-config=/etc/state-watchdog-web/web.yml
{{- end }}
{{- range .Values.agent.roots }}
- {{ printf "--root=%s=%s" .runtime .path | quote }}
{{- end }}
{{- end }}

{{/* The Secret with the web configuration; nothing where there is none. */}}
{{- define "state-watchdog.webSecret" -}}
{{- if .Values.web.config -}}
  {{- if and (hasKey (fromYaml .Values.web.config) "tls_server_config") (ne .Values.web.scheme "https") -}}
    {{- fail "web.config has tls_server_config: set web.scheme to https" -}}
  {{- end -}}
  {{- include "state-watchdog.fullname" . }}-web
{{- else -}}
  {{- .Values.web.secret -}}
{{- end -}}
{{- end }}

{{/* How the kubelet asks for a page. */}}
{{- define "state-watchdog.probe" -}}
{{- if .root.Values.web.clientCertificates -}}
tcpSocket:
  port: metrics
{{- else -}}
httpGet:
  path: {{ .path }}
  port: metrics
  {{- if eq .root.Values.web.scheme "https" }}
  scheme: HTTPS
  {{- end }}
{{- end }}
{{- end }}
