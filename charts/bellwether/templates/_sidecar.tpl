{{/*
The sidecar: entries for `initContainers` of a pod. Use them in your own chart, which has this chart
as a dependency:

      initContainers:
        {{- include "bellwether.sidecar" . | nindent 8 }}

A native sidecar is an init container with `restartPolicy: Always`:

- It starts before the application.
- It ends after the application: the kubelet first ends all main containers, and only then sends
  SIGTERM to this one. So leader-only work ends first, then the sidecar vacates the lease and exits.
  An ordinary container would get SIGTERM together with the application, and another pod would lead
  while this one still works.
- Its death does not end the pod, and a Job completes without it.

It has no readiness probe and no start-up probe, because the readiness of a sidecar is part of the
pod's. With these probes, a lost election, or a restart of the sidecar during a store outage, would
take the application out of its Service. An ordinary init container after it waits for the first
decision. The kubelet runs that only at the start of a pod.
*/}}
{{- define "bellwether.sidecar" -}}
{{- $scope := include "bellwether.scope" . | fromYaml -}}
{{- $values := $scope.values -}}
- name: bellwether
  image: {{ $scope.image | quote }}
  args: [serve]
  # Ends after the application, so that no other pod leads while its work still runs.
  restartPolicy: Always
  env:
    {{- include "bellwether.settings" . | nindent 4 }}
    - name: BELLWETHER_ELECTION
      value: {{ $scope.elections | quote }}
    {{- if $values.expose }}
    - name: BELLWETHER_LISTEN
      value: {{ printf "%s:4040" $values.exposeAddress | quote }}
    {{- end }}
    {{- with $values.advertise }}
    - name: BELLWETHER_ADVERTISE
      value: {{ . | quote }}
    {{- end }}
    {{- with include "bellwether.text" $values.order }}
    - name: BELLWETHER_ORDER
      value: {{ . | quote }}
    {{- end }}
    {{- with $values.gate.url }}
    - name: BELLWETHER_GATE_URL
      value: {{ . | quote }}
    {{- end }}
    {{- with $values.shutdownGrace }}
    - name: BELLWETHER_SHUTDOWN_GRACE
      value: {{ . | quote }}
    {{- end }}
    {{- with $values.vacateDelay }}
    - name: BELLWETHER_VACATE_DELAY
      value: {{ . | quote }}
    {{- end }}
    {{- if $values.leaderService.enabled }}
    {{- if $values.elections }}
    {{- fail "bellwether: 'leaderService' follows the leader of one election, and 'elections' names more" }}
    {{- end }}
    - name: BELLWETHER_LEADER_LABEL
      value: {{ include "bellwether.leaderLabel" $scope.name }}=true
    # The pod to label. On the network of its node, the host name is not the pod name.
    - name: POD_NAME
      valueFrom:
        fieldRef:
          fieldPath: metadata.name
    - name: POD_NAMESPACE
      valueFrom:
        fieldRef:
          fieldPath: metadata.namespace
    {{- end }}
    {{- with $values.env }}
    {{- include "bellwether.variables" . | nindent 4 }}
    {{- end }}
  {{- if $values.expose }}
  ports:
    - name: bellwether
      containerPort: 4040
  {{- end }}
  # Fails only if the election loop has stopped. A lost election or a store outage is no failure.
  livenessProbe:
    {{- include "bellwether.probe" (dict "expose" $values.expose "path" "/livez") | nindent 4 }}
    periodSeconds: 10
    timeoutSeconds: 5
    failureThreshold: 3
  resources:
    {{- toYaml $values.resources | nindent 4 }}
  {{- include "bellwether.securityContext" . | nindent 2 }}
  {{- with $values.volumeMounts }}
  volumeMounts:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- if $values.startAfterDecision }}
- name: bellwether-wait
  image: {{ $scope.image | quote }}
  # A long time limit: after each failure the kubelet would wait longer before the next start.
  args: [wait, --started, --timeout, 30days]
  {{- with $values.env }}
  # It has to know where the sidecar listens.
  env:
    {{- include "bellwether.variables" . | nindent 4 }}
  {{- end }}
  resources:
    {{- toYaml $values.resources | nindent 4 }}
  {{- include "bellwether.securityContext" . | nindent 2 }}
  {{- with $values.volumeMounts }}
  volumeMounts:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end -}}

{{/*
An entry for `initContainers` that copies the program into the volume "bellwether.volume", which the
application mounts by "bellwether.volumeMount": it is then /opt/bellwether/bellwether there.
*/}}
{{- define "bellwether.install" -}}
{{- $scope := include "bellwether.scope" . | fromYaml -}}
- name: bellwether-install
  image: {{ $scope.image | quote }}
  args: [install, /opt/bellwether]
  resources:
    {{- toYaml $scope.values.resources | nindent 4 }}
  {{- include "bellwether.securityContext" . | nindent 2 }}
  volumeMounts:
    - name: bellwether
      mountPath: /opt/bellwether
{{- end -}}

{{/* An entry for `volumes` of a pod. */}}
{{- define "bellwether.volume" -}}
- name: bellwether
  emptyDir: {}
{{- end -}}

{{/* An entry for `volumeMounts` of the application's container. */}}
{{- define "bellwether.volumeMount" -}}
- name: bellwether
  mountPath: /opt/bellwether
  readOnly: true
{{- end -}}

{{/* Entries for `env` of a container that runs `once`: from them `--key auto` takes the pod's template. */}}
{{- define "bellwether.env" -}}
{{ include "bellwether.settings" . }}
- name: POD_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: BELLWETHER_POD_TEMPLATE_HASH
  valueFrom:
    fieldRef:
      fieldPath: metadata.labels['pod-template-hash']
{{- $values := (include "bellwether.scope" . | fromYaml).values }}
{{- with include "bellwether.text" $values.revision }}
- name: BELLWETHER_REVISION
  value: {{ . | quote }}
{{- end }}
{{- with $values.env }}
{{ include "bellwether.variables" . }}
{{- end }}
{{- end -}}

{{/* Entries for `env` of each container that opens the store: the sidecar, and one that runs `once`. */}}
{{- define "bellwether.settings" -}}
{{- $scope := include "bellwether.scope" . | fromYaml -}}
{{- $values := $scope.values -}}
- name: BELLWETHER_IDENTITY
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
{{ include "bellwether.storeEnv" $values }}
{{- range $name, $value := dict
  "BELLWETHER_LEASE_DURATION" $values.leaseDuration
  "BELLWETHER_RENEW_DEADLINE" $values.renewDeadline
  "BELLWETHER_RETRY_PERIOD" $values.retryPeriod
  "BELLWETHER_LOG_LEVEL" $values.logLevel }}
{{- with $value }}
- name: {{ $name }}
  value: {{ . | quote }}
{{- end }}
{{- end }}
{{- end -}}
