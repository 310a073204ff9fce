#!/bin/sh
# Prints the part of CHANGELOG.md for this version.
set -eu
cd "$(dirname "$0")/.."
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
awk -v version="$version" '
    index($0, "## ") == 1 { inside = index($0, "## " version) == 1; found = found || inside; next }
    inside { print }
    END { if (!found) exit 1 }' CHANGELOG.md || {
    echo "CHANGELOG.md has no part '## $version'" >&2
    exit 1
}
