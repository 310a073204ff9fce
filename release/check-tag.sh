#!/bin/sh
# Checks that a tag names the version of Cargo.toml, and that no placeholder is left: check-tag.sh v1.2.3.
set -eu
cd "$(dirname "$0")/.."
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
if [ "$1" != "v$version" ]; then
    echo "the tag $1 does not name the version of Cargo.toml, $version" >&2
    exit 1
fi
if grep -q '^repository = ".*/OWNER/' Cargo.toml; then
    echo "OWNER in Cargo.toml is a placeholder: replace it by the owner of the repository, everywhere" >&2
    exit 1
fi
