#!/bin/sh
# The files of a release for one architecture: pack.sh ROOT FOLDER, where ROOT is what image/root.sh
# laid out. An archive with papers, manual pages and completions; a Debian package; the list of parts.
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

# What both contain. cargo-deb takes it from there (Cargo.toml).
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
# The same files give the same archive, whenever it is made.
tar -c --sort=name --owner=0 --group=0 --numeric-owner --mtime="@${SOURCE_DATE_EPOCH:-0}" \
    --transform "s,^target/package,$name," "$stage" |
    gzip -n >"$dist/$name.tar.gz"
