#!/usr/bin/env bash
# Installs bellwether and starts it, before any command of the new version runs. Started anew only
# if something about it has changed, because that hands the leadership over.
#
# What this prints is in /var/log/eb-hooks.log.
set -euo pipefail

bundle=$(cd "$(dirname "$0")/../../bellwether" && pwd)
programs=/usr/local/bin
unit=/etc/systemd/system/bellwether.service
settings=/etc/bellwether/environment

say() { echo "bellwether: $*"; }

give_up() {
    say "$@" >&2
    exit 1
}

# Beanstalk gives its hooks the environment properties. The sidecar gets those that concern it.
print_settings() {
    local pair value
    while IFS= read -r -d '' pair; do
        case ${pair%%=*} in
            BELLWETHER_* | AWS_* | PG*)
                # As systemd unquotes it.
                value=${pair#*=}
                value=${value//\\/\\\\}
                value=${value//\"/\\\"}
                value=${value//\$/\\\$}
                value=${value//\`/\\\`}
                printf '%s="%s"\n' "${pair%%=*}" "$value"
                ;;
        esac
    done < <(env -0 | sort -z)
}

if [ -z "${BELLWETHER_STORE:-}${BELLWETHER_STORE_FILE:-}" ]; then
    # Otherwise each instance would elect itself, in a file of its own.
    give_up "set the environment property BELLWETHER_STORE, such as dynamodb://bellwether"
fi
if [ -z "${BELLWETHER_ELECTION:-}" ]; then
    # Environments that share a table, such as staging and production, elect a leader each.
    environment=$(/opt/elasticbeanstalk/bin/get-config container -k environment_name)
    export BELLWETHER_ELECTION=${environment,,}
fi
if [ -z "${BELLWETHER_IDENTITY:-}" ] && [ -r /var/lib/cloud/data/instance-id ]; then
    BELLWETHER_IDENTITY=$(</var/lib/cloud/data/instance-id)
    export BELLWETHER_IDENTITY
fi

# A zip file may have lost the mode.
chmod +x "$bundle/bellwether" || give_up "put the program into .platform/bellwether/bellwether"
"$bundle/bellwether" --version \
    || give_up ".platform/bellwether/bellwether does not run here: it has to be for $(uname -m)"

changed=no
if ! cmp -s "$bundle/bellwether" "$programs/bellwether"; then
    "$bundle/bellwether" install "$programs"
    changed=yes
fi
ln -sfn bellwether "$programs/leader_only"
if ! cmp -s "$bundle/bellwether.service" "$unit"; then
    install -m 644 "$bundle/bellwether.service" "$unit"
    systemctl daemon-reload
    changed=yes
fi
if ! print_settings | cmp -s - "$settings"; then
    # There may be a password in it.
    install -d -m 700 "$(dirname "$settings")"
    (umask 077 && print_settings >"$settings")
    changed=yes
fi

systemctl enable --quiet bellwether.service
if [ "$changed" = yes ]; then
    systemctl restart bellwether.service
else
    systemctl start bellwether.service
fi

# What follows may ask who leads.
for _ in {1..10}; do
    if "$programs/bellwether" wait --timeout 2s 2>/dev/null; then
        say "the election is decided"
        exit 0
    fi
    restarts=$(systemctl show --property NRestarts --value bellwether.service)
    if [ "$restarts" != 0 ] || systemctl is-failed --quiet bellwether.service; then
        journalctl --unit bellwether.service --lines 5 --output cat --no-pager >&2 || true
        give_up "the sidecar does not stay up: see the lines above"
    fi
done
# A store that is away must not keep an instance out of service.
say "warning: the election is still undecided, journalctl --unit bellwether says why; going on"
