#!/bin/sh
# Builds the image with the first of docker, podman and buildah that works here.
set -eu
cd "$(dirname "$0")/.."

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
image=${IMAGE:-bellwether:$version}

set -- --tag "$image" \
    --build-arg "REVISION=$(git rev-parse HEAD 2>/dev/null || true)" \
    --build-arg "CREATED=$(date -u +%Y-%m-%dT%H:%M:%SZ)"
if [ -n "${PLATFORM:-}" ]; then
    set -- "$@" --platform "$PLATFORM"
fi

# Docker's client may exist without an engine. Podman and buildah write a health check only into images
# of Docker's format.
if docker info >/dev/null 2>&1; then
    DOCKER_BUILDKIT=1 exec docker build "$@" .
elif command -v podman >/dev/null; then
    exec podman build --format docker "$@" .
elif command -v buildah >/dev/null; then
    exec buildah build --format docker "$@" .
fi
echo "to build an image, install docker, podman or buildah" >&2
exit 1
