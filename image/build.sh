#!/bin/sh
# Builds the static binary, and prints its path. The Dockerfile and `make static` use this.
#
# This needs no musl: it links glibc statically. It names the target, because otherwise the flags would
# apply to build scripts and macros too, which must be dynamic.
set -eu
cd "$(dirname "$0")/.."

triple=$(rustc -vV | sed -n 's/^host: //p')
# Otherwise messages of panics contain paths of the build machine. The same source must give the same
# bytes on every machine.
cargo_home=${CARGO_HOME:-$HOME/.cargo}
sysroot=$(rustc --print sysroot)
RUSTFLAGS="-C target-feature=+crt-static --remap-path-prefix=$PWD=/src --remap-path-prefix=$cargo_home=/cargo --remap-path-prefix=$sysroot=/rust"
export RUSTFLAGS
# Assertions in C contain the path of the file, `__FILE__`.
CFLAGS="-ffile-prefix-map=$PWD=/src -ffile-prefix-map=$cargo_home=/cargo"
export CFLAGS
# A panic ends the process and unwinds nothing: the index for that takes 0.16 MB. Less inlining makes the binary
# another 0.2 MB smaller, and not slower.
cargo rustc --locked --profile dist --target "$triple" --bin bellwether -- \
    -C link-arg=-Wl,--no-eh-frame-hdr -C llvm-args=-inline-threshold=10 >&2
target=${CARGO_TARGET_DIR:-target}
case $target in
/*) ;;
*) target=$PWD/$target ;;
esac
echo "$target/$triple/dist/bellwether"
