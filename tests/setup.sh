#!/usr/bin/env bash
# Installs what the tests need on Debian or Ubuntu. Does nothing where all of it is there.
set -euo pipefail
cd "$(dirname "$0")/.."

. tests/install.sh

# A toolchain from rustup is found also by a shell that does not have it in its PATH.
export PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"

# Debian 12 has no package of rustup, and apt installs nothing if it does not know one of the names.
rust=()
if ! command -v cargo >/dev/null; then
    as_root apt-get update -q
    if [ -z "$(apt-cache show rustup 2>/dev/null)" ]; then
        echo "no Rust, and no package of rustup: install Rust from https://rustup.rs, and run this again" >&2
        exit 1
    fi
    rust=(cargo:rustup)
fi
install_missing git:git cc:build-essential sqlite3:sqlite3 mount:mount pkill:procps \
    zsh:zsh fish:fish pg_ctlcluster:postgresql pgbouncer:pgbouncer openssl:openssl "${rust[@]}" \
    ruby:ruby node:nodejs javac:default-jdk-headless curl:curl
# What nothing in PATH shows: environments of Python, a module for the example of docs/postgres.md,
# a library that shifts clocks.
/usr/bin/python3 -c 'import ensurepip' 2>/dev/null || install_packages python3-venv
/usr/bin/python3 -c 'import psycopg2' 2>/dev/null || install_packages python3-psycopg2
compgen -G '/usr/lib/*/faketime/libfaketime.so.1' >/dev/null || install_packages libfaketime
# A browser for the page. Ubuntu has no package of it: there, install Chrome or the snap beforehand.
command -v chromium chromium-browser google-chrome >/dev/null || install_packages chromium
if ! cargo --version >/dev/null 2>&1; then
    rustup default stable
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

# Most of these wait for a download.
parts=(
    # Prometheus, Alertmanager and what checks the dashboard.
    tests/program/metrics/setup.sh
    # What checks the image and the chart.
    tests/deploy/kubernetes/setup.sh
    # The API server of Kubernetes.
    tests/store/leases/setup.sh
    # What builds and measures the documentation.
    site/setup.sh
    # What checks the files of deploy/.
    tests/deploy/platforms/setup.sh
    # The Django project of examples/django-once.
    "python_tools django examples/django-once/requirements.txt --no-deps"
    # Alembic, as docs/once.md names it.
    "python_tools alembic tests/deploy/alembic/requirements.txt --no-deps"
    # Schemathesis, which asks what the description of the answers says.
    "python_tools schemathesis tests/program/openapi/requirements.txt --no-deps"
    # The checker of the histories of tests/chaos.
    "go_programs chaos tests/chaos/linearizable ."
)
running=()
for part in "${parts[@]}"; do
    # In words: each is a command with its arguments.
    # shellcheck disable=SC2086
    $part &
    running+=($!)
done
failed=0
for at in "${!parts[@]}"; do
    if ! wait "${running[at]}"; then
        echo "not installed: ${parts[at]}" >&2
        failed=1
    fi
done
exit "$failed"
