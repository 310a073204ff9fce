#!/usr/bin/env bash
# Prints the beginning of each failure in logs of tests, in few lines: tests/failures.sh LOG...
set -euo pipefail
for log in "$@"; do
    awk -v log_name="$(basename "$log")" '
        /^---- .* stdout ----$/ { left = 5 }
        /^error/ { left = 3 }
        /^violation/ { left = 1 }
        left > 0 && NF { left--; print log_name ": " $0 }
    ' "$log"
done | cut -c -240 | awk 'NR <= 18'
