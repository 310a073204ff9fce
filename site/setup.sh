#!/usr/bin/env bash
# Installs what the documentation is built and measured with, into target/tools. Called by tests/setup.sh. Does
# nothing where all of it is there.
set -euo pipefail
cd "$(dirname "$0")/.."

. tests/install.sh

# Without its server: the site is files. Optimizing it would take longer than it takes to build the site.
mdbook=0.5.4
tools=$PWD/target/tools
if ! "$tools/mdbook/bin/mdbook" --version 2>/dev/null | grep -qx "mdbook v$mdbook"; then
    CARGO_PROFILE_DEV_DEBUG=0 CARGO_INCREMENTAL=0 \
        cargo install mdbook --debug --version "$mdbook" --locked --no-default-features --features search \
        --root "$tools/mdbook"
fi
# The reading grade of the pages.
/usr/bin/python3 -c 'import ensurepip' 2>/dev/null || install_packages python3-venv
python_tools readability site/requirements.txt --no-deps
