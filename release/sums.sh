#!/bin/sh
# Writes the checksums of all files of a release: sums.sh FOLDER writes FOLDER/SHA256SUMS.
set -eu
cd "$1"
rm -f SHA256SUMS
sums=$(sha256sum -- *)
printf '%s\n' "$sums" >SHA256SUMS
