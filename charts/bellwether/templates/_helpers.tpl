{{/*
Where the values of this chart are: in the chart itself, or in one that has it as a dependency. (One
that gave it an alias passes `.Subcharts.ALIAS` instead of `.`.) As YAML: image, election (the first one), elections (all of them, with commas), values.
*/}}
{{- define "bellwether.scope" -}}
{{- $scope := . -}}
{{- with .Subcharts -}}
{{- with .bellwether -}}
{{- $scope = . -}}
{{- end -}}
{{- end -}}
{{- $values := $scope.Values -}}
{{- if not (hasKey $values "startAfterDecision") -}}
{{- fail "bellwether: pass the scope of a chart that has bellwether among its dependencies: '.', or '.Subcharts.ALIAS' if it has an alias" -}}
{{- end -}}
{{- $image := printf "%s:%s" $values.image.repository ($values.image.tag | default ($scope.Chart.AppVersion | replace "+" "-")) -}}
{{- with $values.image.digest -}}
{{- $image = printf "%s@%s" $values.image.repository . -}}
{{- end -}}
{{- $election := printf "%s.%s" $scope.Release.Namespace $scope.Release.Name -}}
{{- if ne $scope.Chart.Name "bellwether" -}}
{{- $election = printf "%s.%s" $election $scope.Chart.Name -}}
{{- end -}}
{{- $election = $values.election | default $election -}}
{{- if gt (len $election) 63 -}}
{{- fail (printf "bellwether: the election '%s' has more than 63 characters: choose a shorter name by the value 'election'" $election) -}}
{{- end -}}
{{- $elections := prepend $values.elections $election -}}
{{- if ne (len $elections) (len ($elections | uniq)) -}}
{{- fail (printf "bellwether: the same election stands twice in %s: name each once in 'election' and 'elections'" (join ", " $elections)) -}}
{{- end -}}
{{- dict "image" $image "election" $election "elections" (join "," $elections) "values" $values "name" (include "bellwether.name" $scope) | toYaml -}}
{{- end -}}

{{/* Which store: a URL, or a Secret that has it. Takes the values. */}}
{{- define "bellwether.storeEnv" -}}
{{- $url := .store.url -}}
{{- $secret := .store.secret.name -}}
{{- if and $url $secret -}}
{{- fail "bellwether: set either 'store.url' or 'store.secret.name', not both" -}}
{{- else if hasPrefix "sqlite:" $url -}}
{{- fail "bellwether: a SQLite file is for one host, and pods are on several: each would have a leader of its own. Use Kubernetes, Postgres or DynamoDB" -}}
{{- else if or (regexMatch "://[^/?#]*:[^/?#]*@" $url) (regexMatch "(?i)[?&](ssl)?password=" $url) -}}
{{- fail "bellwether: 'store.url' has a password in it, which everybody who may read the Deployment would see: put the URL into a Secret and name that by 'store.secret.name'" -}}
{{- end -}}
- name: BELLWETHER_STORE
{{- if $secret }}
  valueFrom:
    secretKeyRef:
      name: {{ $secret | quote }}
      key: {{ .store.secret.key | quote }}
{{- else }}
  value: {{ $url | default "kubernetes://" | quote }}
{{- end }}
{{- end -}}

{{/* The election of `helm test`. */}}
{{- define "bellwether.testElection" -}}
{{- printf "%s-test" ((include "bellwether.scope" . | fromYaml).election | trunc 58 | trimAll "-.") -}}
{{- end -}}

{{/* "yes" if the leases are Leases of the Kubernetes API. Takes the values. */}}
{{- define "bellwether.inKubernetes" -}}
{{- if not (or .store.secret.name (and .store.url (not (hasPrefix "kubernetes:" .store.url)))) -}}
yes
{{- end -}}
{{- end -}}

{{/* "yes" if the sidecar uses the Kubernetes API, for Leases or for a label. Takes the values. */}}
{{- define "bellwether.usesApi" -}}
{{- if or (include "bellwether.inKubernetes" .) .leaderService.enabled -}}
yes
{{- end -}}
{{- end -}}

{{/* The key of the label of the leader's pod, which no other release of the namespace uses. Takes the name. */}}
{{- define "bellwether.leaderLabel" -}}
bellwether/leads-{{ . }}
{{- end -}}

{{/* The namespace of the Leases. */}}
{{- define "bellwether.leaseNamespace" -}}
{{- $named := .Values.store.url | trimPrefix "kubernetes://" | splitList "?" | first -}}
{{- $named | default .Release.Namespace -}}
{{- end -}}

{{/*
The service account of a pod that carries the sidecar, for `serviceAccountName` in a pod of your own.
Where the leases are in Kubernetes, the chart makes one unless it is named.
*/}}
{{- define "bellwether.serviceAccountName" -}}
{{- $scope := include "bellwether.scope" . | fromYaml -}}
{{- $values := $scope.values -}}
{{- if $values.serviceAccount.name -}}
{{- $values.serviceAccount.name -}}
{{- else if include "bellwether.usesApi" $values -}}
{{- $scope.name -}}
{{- else -}}
default
{{- end -}}
{{- end -}}

{{/*
The rules of a Role for these Leases: a dictionary of names. Creating cannot be limited to a name.
*/}}
{{- define "bellwether.rules" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames:
    {{- toYaml .names | nindent 4 }}
  verbs: [get, update, watch]
{{- end -}}

{{/* Annotations of what has to be there before the job. */}}
{{- define "bellwether.before" -}}
helm.sh/hook: pre-install,pre-upgrade
helm.sh/hook-weight: "-1"
helm.sh/hook-delete-policy: before-hook-creation
{{- end -}}

{{/* The name of the Lease of such a record of `once`: a checksum, because works have characters that names have not. */}}
{{- define "bellwether.onceLease" -}}
{{- printf "bellwether-%s" (sha256sum . | trunc 32) -}}
{{- end -}}

{{/* How the kubelet asks a path. Takes a dictionary of expose and path. */}}
{{- define "bellwether.probe" -}}
{{- if .expose -}}
httpGet:
  path: {{ .path }}
  port: bellwether
{{- else -}}
# The sidecar listens on 127.0.0.1, which the kubelet does not reach.
exec:
  command: [/bellwether, healthcheck, --path, {{ .path }}]
{{- end -}}
{{- end -}}

{{/* What the `restricted` profile of Pod Security asks for, and no way to write anywhere. */}}
{{- define "bellwether.securityContext" -}}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
  seccompProfile:
    type: RuntimeDefault
{{- end -}}

{{/* Labels of everything that this chart makes. */}}
{{- define "bellwether.labels" -}}
{{ include "bellwether.appLabels" . }}
app.kubernetes.io/version: {{ include "bellwether.label" .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ include "bellwether.label" (printf "%s-%s" .Chart.Name .Chart.Version) }}
{{- end -}}

{{/* Labels by which the application's pods are known. */}}
{{- define "bellwether.appLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Labels of the pods that carry the sidecar. */}}
{{- define "bellwether.selector" -}}
{{- if .Values.selector -}}
{{ toYaml .Values.selector }}
{{- else if .Values.app.image -}}
{{ include "bellwether.appLabels" . }}
app.kubernetes.io/component: app
{{- else -}}
{{- fail "bellwether: name the labels of the pods that carry the sidecar, by the value 'selector'" -}}
{{- end -}}
{{- end -}}

{{/*
The name of each object: the release's, and below another chart also the dependency's name or alias.
Two aliases of one release would otherwise overwrite each other's objects. A long name keeps a checksum
of what is cut off.
*/}}
{{- define "bellwether.name" -}}
{{- $name := .Release.Name -}}
{{- if not .Chart.IsRoot -}}
{{- $name = printf "%s-%s" .Release.Name .Chart.Name -}}
{{- end -}}
{{- if gt (len $name) 50 -}}
{{- $name = printf "%s-%s" ($name | trunc 41 | trimAll "-.") ($name | sha256sum | trunc 8) -}}
{{- end -}}
{{- $name -}}
{{- end -}}

{{/* A version as the value of a label: build metadata after a '+' would make it an invalid one. */}}
{{- define "bellwether.label" -}}
{{- . | replace "+" "_" | trunc 63 | trimAll "-_." -}}
{{- end -}}
