#!/bin/sh
# Extracts the files of an image: unpack-image.sh IMAGE FOLDER. It uses docker or podman.
set -eu
engine=docker
docker info >/dev/null 2>&1 || engine=podman
mkdir -p "$2"
container=$("$engine" create "$1")
trap '"$engine" rm "$container" >/dev/null' EXIT
"$engine" export "$container" | tar -x -C "$2" bellwether usr/share/doc/bellwether
