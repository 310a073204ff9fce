#!/bin/sh
# Checks a version before its tag: the version is the same everywhere and has its notes, every licence
# may be shipped, and the crate can be published. The image is built from the real binary, is small
# enough, and works alone.
set -eu
cd "$(dirname "$0")/.."

if [ -n "$(git status --porcelain)" ]; then
    echo "commit first: a release contains only what is committed" >&2
    exit 1
fi
# Builds the package of the crate as crates.io does.
cargo publish --dry-run --locked
BELLWETHER_STATIC_BINARY=$(image/build.sh)
export BELLWETHER_STATIC_BINARY
BELLWETHER_RELEASE=1 cargo test --locked --test repo --test deploy -- release:: image:: kubernetes:: package:: push::
echo "ready for the tag v$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)"
