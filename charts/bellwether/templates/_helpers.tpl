{{/*
Finds the values of this chart: in the chart itself, or in a chart that has it as a dependency. (A
chart with an alias for it passes `.Subcharts.ALIAS` instead of `.`.) As YAML: image, election (the
first one), elections (all of them, with commas), values.
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
{{- $image := printf "%s:%s" $values.image.repository (include "bellwether.text" $values.image.tag | default ($scope.Chart.AppVersion | replace "+" "-")) -}}
{{- with $values.image.digest -}}
{{- $image = printf "%s@%s" $values.image.repository . -}}
{{- end -}}
{{- $election := printf "%s.%s" $scope.Release.Namespace $scope.Release.Name -}}
{{- if ne $scope.Chart.Name "bellwether" -}}
{{- $election = printf "%s.%s" $election $scope.Chart.Name -}}
{{- end -}}
{{- $election = $values.election | default $election -}}
{{- if gt (len $election) 63 -}}
{{- fail (printf "bellwether: the election '%s' has more than 63 characters: set a shorter name in 'election'" $election) -}}
{{- end -}}
{{- $elections := prepend $values.elections $election -}}
{{- if ne (len $elections) (len ($elections | uniq)) -}}
{{- fail (printf "bellwether: the same election is twice in %s: name each once in 'election' and 'elections'" (join ", " $elections)) -}}
{{- end -}}
{{- dict "image" $image "election" $election "elections" (join "," $elections) "values" $values "name" (include "bellwether.name" $scope) | toYaml -}}
{{- end -}}

{{/*
A value as text. `--set` makes a number of digits, and a file of values a floating one, which Helm
prints as 2.026e+09 if it is large. 0 is a text, and not empty.
*/}}
{{- define "bellwether.text" -}}
{{- if kindIs "invalid" . -}}
{{- /* null takes a value back. */ -}}
{{- else if or (kindIs "int64" .) (kindIs "float64" .) -}}
{{- int64 . -}}
{{- else -}}
{{- toString . -}}
{{- end -}}
{{- end -}}

{{/* A list of texts, such as the words of a command. */}}
{{- define "bellwether.words" -}}
{{- $words := list -}}
{{- range . -}}
{{- $words = append $words (include "bellwether.text" .) -}}
{{- end -}}
{{- toYaml $words -}}
{{- end -}}

{{/* A dictionary of texts, such as labels. */}}
{{- define "bellwether.texts" -}}
{{- $texts := dict -}}
{{- range $key, $value := . -}}
{{- $_ := set $texts $key (include "bellwether.text" $value) -}}
{{- end -}}
{{- toYaml $texts -}}
{{- end -}}

{{/* Entries for `env`. */}}
{{- define "bellwether.variables" -}}
{{- $variables := list -}}
{{- range . -}}
{{- $variable := deepCopy . -}}
{{- if not (kindIs "invalid" .value) -}}
{{- $_ := set $variable "value" (include "bellwether.text" .value) -}}
{{- end -}}
{{- $variables = append $variables $variable -}}
{{- end -}}
{{- toYaml $variables -}}
{{- end -}}

{{/* The store: a URL, or a Secret that has it. Takes the values. */}}
{{- define "bellwether.storeEnv" -}}
{{- $url := .store.url -}}
{{- $secret := .store.secret.name -}}
{{- if and $url $secret -}}
{{- fail "bellwether: set either 'store.url' or 'store.secret.name', not both" -}}
{{- else if hasPrefix "sqlite:" $url -}}
{{- fail "bellwether: a SQLite file is for one host, and pods run on several: each host would have its own leader. Use Kubernetes, Postgres or DynamoDB" -}}
{{- else if or (regexMatch "://[^/?#]*:[^/?#]*@" $url) (regexMatch "(?i)[?&](ssl)?password=" $url) -}}
{{- fail "bellwether: 'store.url' contains a password, and every user who may read the Deployment would see it: put the URL into a Secret, and set 'store.secret.name'" -}}
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

{{/* The election of `helm test`. With the end "-test" it would be that of a release called NAME-test. */}}
{{- define "bellwether.testElection" -}}
{{- $election := (include "bellwether.scope" . | fromYaml).election -}}
{{- if gt (len $election) 53 -}}
{{- $election = printf "%s-%s" ($election | trunc 44 | trimAll "-.") ($election | sha256sum | trunc 8) -}}
{{- end -}}
{{- printf "%s.helm-test" $election -}}
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

{{/* The key of the leader's label. No other release of the namespace uses it. Takes the name. */}}
{{- define "bellwether.leaderLabel" -}}
bellwether/leads-{{ . }}
{{- end -}}

{{/* The namespace of the Leases. */}}
{{- define "bellwether.leaseNamespace" -}}
{{- $named := .Values.store.url | trimPrefix "kubernetes://" | splitList "?" | first -}}
{{- $named | default .Release.Namespace -}}
{{- end -}}

{{/*
The name of the rights in the namespace of the Leases. That namespace may have the rights of another
release with the same name, from another namespace.
*/}}
{{- define "bellwether.rightsName" -}}
{{- $name := include "bellwether.name" . -}}
{{- if ne (include "bellwether.leaseNamespace" .) .Release.Namespace -}}
{{- $name = printf "%s-%s" ($name | trunc 41 | trimAll "-.") (printf "%s/%s" .Release.Namespace $name | sha256sum | trunc 8) -}}
{{- end -}}
{{- $name -}}
{{- end -}}

{{/*
The service account of a pod with the sidecar, for `serviceAccountName` in a pod of your own. If the
leases are in Kubernetes, and you name no account, the chart makes one.
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
The rules of a Role for these Leases. Takes a dictionary of names. The right to create cannot be
limited to a name.
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

{{/* Annotations of objects that must exist before the job. */}}
{{- define "bellwether.before" -}}
helm.sh/hook: pre-install,pre-upgrade
helm.sh/hook-weight: "-1"
helm.sh/hook-delete-policy: before-hook-creation
{{- end -}}

{{/* The name of the Lease of a record of `once`: a checksum, because a work may have characters that a name may not. */}}
{{- define "bellwether.onceLease" -}}
{{- printf "bellwether-%s" (sha256sum . | trunc 32) -}}
{{- end -}}

{{/* The kubelet's probe of a path. Takes a dictionary of expose and path. */}}
{{- define "bellwether.probe" -}}
{{- if .expose -}}
httpGet:
  path: {{ .path }}
  port: bellwether
{{- else -}}
# The sidecar listens on 127.0.0.1, which the kubelet cannot reach.
exec:
  command: [/bellwether, healthcheck, --path, {{ .path }}]
{{- end -}}
{{- end -}}

{{/* Satisfies the `restricted` profile of Pod Security, with a read-only root file system. */}}
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

{{/* The labels of all objects of this chart. */}}
{{- define "bellwether.labels" -}}
{{ include "bellwether.appLabels" . }}
app.kubernetes.io/version: {{ include "bellwether.label" .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ include "bellwether.label" (printf "%s-%s" .Chart.Name .Chart.Version) }}
{{- end -}}

{{/* The labels that select the application's pods. */}}
{{- define "bellwether.appLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* The labels of the pods with the sidecar. */}}
{{- define "bellwether.selector" -}}
{{- if .Values.selector -}}
{{ include "bellwether.texts" .Values.selector }}
{{- else if .Values.app.image -}}
{{ include "bellwether.appLabels" . }}
app.kubernetes.io/component: app
{{- else -}}
{{- fail "bellwether: name the labels of the pods with the sidecar in the value 'selector'" -}}
{{- end -}}
{{- end -}}

{{/*
The name of each object: that of the release, and below another chart also the dependency's name or
alias. Otherwise two aliases of one release would overwrite each other's objects. A long name is cut,
and ends with a checksum.
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

{{/* A version as the value of a label: a '+' before build metadata would be invalid. */}}
{{- define "bellwether.label" -}}
{{- . | replace "+" "_" | trunc 63 | trimAll "-_." -}}
{{- end -}}
