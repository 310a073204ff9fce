# shellcheck shell=bash
# How the setup scripts install things, on Debian and Ubuntu. To be sourced, in the root of the tree.

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# install_missing PROGRAM:PACKAGE…: the Debian packages of the programs that are not there.
install_missing() {
    local pair packages=()
    for pair in "$@"; do
        command -v "${pair%%:*}" >/dev/null || packages+=("${pair#*:}")
    done
    install_packages "${packages[@]}"
}

# install_packages PACKAGE…
install_packages() {
    [ "$#" -gt 0 ] || return 0
    echo "installing: $*"
    as_root apt-get update -q
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "$@"
}

# python_tools NAME REQUIREMENTS [PIP-FLAG…]: a Python environment of its own in target/tools/NAME,
# made anew when its requirements change.
python_tools() {
    local folder=target/tools/$1 requirements=$2
    shift 2
    if cmp -s "$requirements" "$folder/installed.txt"; then return; fi
    echo "installing: $requirements"
    mkdir -p target/tools
    /usr/bin/python3 -m venv --clear "$folder"
    "$folder/bin/pip" install --quiet --disable-pip-version-check "$@" -r "$requirements"
    cp "$requirements" "$folder/installed.txt"
}
