#!/usr/bin/env bash
# Installs what the tests need on Debian or Ubuntu. Does nothing where all of it is there.
set -euo pipefail

# program to look for : Debian package that has it
needed="cc:build-essential sqlite3:sqlite3 mount:mount pkill:procps
        pg_ctlcluster:postgresql pgbouncer:pgbouncer openssl:openssl"

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# A toolchain from rustup is found also by a shell that does not have it in its PATH.
export PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"

packages=()
for pair in $needed; do
    command -v "${pair%%:*}" >/dev/null || packages+=("${pair#*:}")
done
# For the Python example of docs/postgres.md.
/usr/bin/python3 -c 'import psycopg2' 2>/dev/null || packages+=(python3-psycopg2)
if ! command -v cargo >/dev/null; then
    packages+=(rustup)
fi
if [ "${#packages[@]}" -gt 0 ]; then
    echo "installing: ${packages[*]}"
    export DEBIAN_FRONTEND=noninteractive
    as_root apt-get update -q
    as_root apt-get install -qy --no-install-recommends "${packages[@]}"
fi
if ! cargo --version >/dev/null 2>&1; then
    rustup default stable
fi
# libfaketime is a library that nothing in PATH shows.
if ! compgen -G '/usr/lib/*/faketime/libfaketime.so.1' >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    as_root apt-get update -q
    as_root apt-get install -qy --no-install-recommends libfaketime
fi
# A DynamoDB to test on. A program of its own: as a library it would decide which SQLite is in the
# program under test. Optimizing it would take longer than the tests gain.
dynoxide=3.2.0
if ! cargo install --list | grep -qx "dynoxide-rs v$dynoxide:"; then
    CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
        CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
        cargo install dynoxide-rs --version "$dynoxide" --locked \
        --no-default-features --features cli,http-server,native-sqlite
fi
for component in rustfmt clippy; do
    cargo "${component/rustfmt/fmt}" --version >/dev/null 2>&1 || rustup component add "$component"
done
# What checks the files of deploy/.
"$(dirname "$0")/platforms/setup.sh"
