#!/bin/sh
# Lays out what the image contains: root.sh BINARY FOLDER.
set -eu
binary=$1
root=$2
cd "$(dirname "$0")/.."

papers=$root/usr/share/doc/bellwether
# What stands above the folder of the default store, which the Dockerfile gives to the image's user.
mkdir -p "$papers" "$root/var/lib"
install -m 0755 "$binary" "$root/bellwether"
install -m 0644 LICENSE-APACHE LICENSE-MIT "$papers"
image/sbom.sh >"$papers/sbom.cdx.json"
image/licences.sh >"$papers/third-party-licences.txt"
chmod 0644 "$papers"/*
# The same files give the same layer, whenever it is built.
find "$root" -exec touch -h -d "@${SOURCE_DATE_EPOCH:-0}" {} +
