#!/usr/bin/env bash
# Installs what the tests need on Debian or Ubuntu. Does nothing where all of it is there.
set -euo pipefail
cd "$(dirname "$0")/.."

# program to look for : Debian package that has it
needed="git:git cc:build-essential sqlite3:sqlite3 mount:mount pkill:procps
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
# For the Django project of examples/django-once.
/usr/bin/python3 -c 'import ensurepip' 2>/dev/null || packages+=(python3-venv)
# A browser for the page. Ubuntu has no package of it: there, install Chrome or the snap beforehand.
if ! command -v chromium chromium-browser google-chrome >/dev/null; then
    packages+=(chromium)
fi
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
# A Python with what examples/django-once needs, made anew when its requirements change.
requirements=examples/django-once/requirements.txt
django=target/tools/django
if ! cmp -s "$requirements" "$django/requirements.txt"; then
    rm -rf "$django"
    /usr/bin/python3 -m venv "$django"
    "$django/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$requirements"
    cp "$requirements" "$django/requirements.txt"
fi
for component in rustfmt clippy; do
    cargo "${component/rustfmt/fmt}" --version >/dev/null 2>&1 || rustup component add "$component"
done
# Prometheus and promtool, unpacked beside the build. Installed as a package they would bring a
# service that starts by itself.
prometheus=target/tools/prometheus
if ! "$prometheus/promtool" --version >/dev/null 2>&1; then
    echo "unpacking: prometheus"
    as_root apt-get update -q
    folder=$(mktemp -d)
    # apt drops its rights to a user who cannot write there.
    (cd "$folder" && as_root apt-get download -q -o APT::Sandbox::User=root prometheus)
    mkdir -p "$prometheus"
    dpkg-deb --fsys-tarfile "$folder"/prometheus_*.deb |
        tar -x -C "$prometheus" --strip-components=3 ./usr/bin
    as_root rm -r "$folder"
fi

# Schemathesis, which asks what the description of the answers says: in an environment of its own.
wanted=tests/openapi/requirements.txt
tools=target/tools/schemathesis
if ! cmp -s "$wanted" "$tools/installed.txt"; then
    rm -rf "$tools"
    mkdir -p target/tools
    # Debian's Python needs a package for this; others have it in them.
    python3 -m venv "$tools" 2>/dev/null || {
        as_root apt-get update -q
        DEBIAN_FRONTEND=noninteractive as_root apt-get install -qy --no-install-recommends python3-venv
        rm -rf "$tools"
        /usr/bin/python3 -m venv "$tools"
    }
    "$tools/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$wanted"
    cp "$wanted" "$tools/installed.txt"
fi

# What checks the image and the chart.
"$(dirname "$0")/kubernetes/setup.sh"
# What checks the files of deploy/.
"$(dirname "$0")/platforms/setup.sh"
