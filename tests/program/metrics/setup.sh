#!/usr/bin/env bash
# Installs what tests/program/metrics checks with, into target/tools. Called by tests/setup.sh. Does nothing
# where all of it is there.
set -euo pipefail
cd "$(dirname "$0")/../../.."

here=tests/program/metrics
tools=$PWD/target/tools
. tests/install.sh

# Installed as packages they would bring services that start on their own.
unpack_program prometheus promtool prometheus
unpack_program prometheus-alertmanager amtool alertmanager
# Debian's Alertmanager reads its templates from there and does not start without; the example uses none.
for template in default email; do
    if [ ! -e "/usr/share/prometheus/alertmanager/$template.tmpl" ]; then
        as_root install -D -m 644 /dev/null "/usr/share/prometheus/alertmanager/$template.tmpl"
    fi
done

# What Grafana's schema says of the dashboard.
made_from=$(cat "$here"/grafana/* | sha256sum)
if [ "$(cat "$tools/bin/grafana-schema.txt" 2>/dev/null)" != "$made_from" ]; then
    new_go
    mkdir -p "$tools/bin"
    (cd "$here/grafana" && go build "${no_debug_info[@]}" -o "$tools/bin/grafana-schema" .)
    echo "$made_from" >"$tools/bin/grafana-schema.txt"
fi
