#!/bin/sh
# Builds the static binary, and says where it lies. Used by the Dockerfile and by `make static`.
#
# No musl is needed: glibc can be linked in, if the target is named. Without a name, the flags would
# be those of build scripts and macros too, which have to be dynamic.
set -eu
cd "$(dirname "$0")/.."

triple=$(rustc -vV | sed -n 's/^host: //p')
# Paths of the machine that builds would be in the messages of panics: the same source is to give
# the same bytes anywhere.
cargo_home=${CARGO_HOME:-$HOME/.cargo}
sysroot=$(rustc --print sysroot)
RUSTFLAGS="-C target-feature=+crt-static --remap-path-prefix=$PWD=/src --remap-path-prefix=$cargo_home=/cargo --remap-path-prefix=$sysroot=/rust"
export RUSTFLAGS
# C files name themselves by `__FILE__` in assertions.
CFLAGS="-ffile-prefix-map=$PWD=/src -ffile-prefix-map=$cargo_home=/cargo"
export CFLAGS
cargo build --locked --profile dist --target "$triple" >&2
echo "$PWD/${CARGO_TARGET_DIR:-target}/$triple/dist/bellwether"
