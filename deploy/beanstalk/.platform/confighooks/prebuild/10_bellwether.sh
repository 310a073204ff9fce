#!/usr/bin/env bash
# Environment properties have changed, without a new version: the sidecar gets them as well.
set -euo pipefail
exec "$(dirname "$0")/../../hooks/prebuild/10_bellwether.sh"
