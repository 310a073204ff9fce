#!/bin/sh
# What has to hold before a version is tagged: the version is the same everywhere and has its notes,
# every licence is one that may be shipped, the crate can be published, and the image is built from the real binary, small enough
# and working where nothing else is.
set -eu
cd "$(dirname "$0")/.."

if [ -n "$(git status --porcelain)" ]; then
    echo "commit first: what is released is what is committed" >&2
    exit 1
fi
# Builds the package of the crate as crates.io would.
cargo publish --dry-run --locked
BELLWETHER_STATIC_BINARY=$(image/build.sh)
export BELLWETHER_STATIC_BINARY
BELLWETHER_RELEASE=1 cargo test --locked --test repo --test deploy -- release:: image:: kubernetes:: package:: push::
echo "ready to be tagged as v$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)"
