#!/usr/bin/env bash
# Runs when environment properties change without a new version. Passes them to the sidecar.
set -euo pipefail
exec "$(dirname "$0")/../../hooks/prebuild/10_bellwether.sh"
