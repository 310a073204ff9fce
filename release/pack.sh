#!/bin/sh
# Makes the files of a release for one architecture: pack.sh ROOT FOLDER. ROOT is the folder that
# image/root.sh wrote. The files are an archive with licences, manual pages and completions, a Debian
# package, and the list of parts.
set -eu
root=$(realpath "$1")
mkdir -p "$2"
dist=$(realpath "$2")
cd "$(dirname "$0")/.."

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
triple=$(rustc -vV | sed -n 's/^host: //p')
name=bellwether-$version-$triple
program=$root/bellwether
papers=$root/usr/share/doc/bellwether

# The content of both. cargo-deb takes it from this folder (Cargo.toml).
stage=target/package
rm -rf "$stage"
mkdir -p "$stage/man" "$stage/completions"
install -m 0755 "$program" "$stage/bellwether"
cp -r "$papers" "$stage/doc"
"$program" man "$stage/man" >/dev/null
for shell in bash zsh fish; do
    "$program" completions "$shell" >"$stage/completions/$shell"
done

cargo deb --quiet --no-build --no-strip --output "$dist"
cp "$stage/doc/sbom.cdx.json" "$dist/$name.cdx.json"
# The same files must always give the same archive.
# In two steps: a pipe would hide that tar failed.
tar -c --sort=name --owner=0 --group=0 --numeric-owner --mtime="@${SOURCE_DATE_EPOCH:-0}" \
    --transform "s,^target/package,$name," -f "$dist/$name.tar" "$stage"
gzip -n -f "$dist/$name.tar"
