#!/bin/sh
# Pushes the image for both architectures, and the chart: push.sh REGISTRY/NAME IMAGES DIST. IMAGES has
# image-ARCHITECTURE.tar, and DIST has the packed chart. Prints image= and digest= of the image index.
# It uses podman and helm. Log in with `docker login` first.
set -eu
# A registry accepts only lower case.
image=$(printf '%s' "$1" | tr '[:upper:]' '[:lower:]')
images=$2
dist=$3
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$(dirname "$0")/../Cargo.toml" | head -1)

list=localhost/bellwether-release:$version
podman manifest rm "$list" >/dev/null 2>&1 || true
podman manifest create "$list" >&2
for file in "$images"/image-*.tar; do
    podman manifest add "$list" "docker-archive:$file" >&2
done
digest=$(mktemp)
trap 'rm -f "$digest"' EXIT
podman manifest push --all --digestfile "$digest" "$list" "docker://$image:$version" >&2
helm push "$dist/bellwether-$version.tgz" "oci://${image%/*}/charts" >&2
echo "image=$image"
echo "digest=$(cat "$digest")"
