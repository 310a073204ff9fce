#!/bin/sh
# Writes the files of the image into a folder: root.sh BINARY FOLDER.
set -eu
binary=$1
root=$2
cd "$(dirname "$0")/.."

papers=$root/usr/share/doc/bellwether
# The parent of the state folder. The Dockerfile adds that folder, with its owner.
mkdir -p "$papers" "$root/var/lib"
install -m 0755 "$binary" "$root/bellwether"
install -m 0644 LICENSE-APACHE LICENSE-MIT "$papers"
image/sbom.sh >"$papers/sbom.cdx.json"
image/licences.sh >"$papers/third-party-licences.txt"
chmod 0644 "$papers"/*
# The same files must always give the same layer.
find "$root" -exec touch -h -d "@${SOURCE_DATE_EPOCH:-0}" {} +
