#!/usr/bin/env bash
# Installs bellwether and starts it, before any command of the new version runs. A restart hands the
# leadership over, so this restarts the sidecar only if its program, settings or unit have changed.
# Settings that do not work do not replace settings that do.
#
# The output is in /var/log/eb-hooks.log.
set -euo pipefail

application=$(cd "$(dirname "$0")/../../.." && pwd)
bundle=$application/.platform/bellwether
program=/usr/local/bin/bellwether
wrapper=/usr/local/bin/with_properties
unit=/etc/systemd/system/bellwether.service
settings=/etc/bellwether/environment
properties=/etc/bellwether/properties

say() { echo "bellwether: $*"; }

give_up() {
    say "$@" >&2
    exit 1
}

# Beanstalk gives its hooks the environment properties. Leaves out the variables that a shell adds,
# and names that no shell accepts: systemd does not give those to the application either.
print_properties() {
    local pair
    while IFS= read -r -d '' pair; do
        case ${pair%%=*} in
            _ | PATH | HOME | USER | LOGNAME | SHELL | PWD | OLDPWD | SHLVL | TERM) ;;
            [!A-Za-z_]* | *[!A-Za-z0-9_]*) ;;
            *) printf '%s\0' "$pair" ;;
        esac
    done < <(env -0 | sort -z)
}

# The properties for the sidecar, quoted for systemd.
print_settings() {
    local pair value
    while IFS= read -r -d '' pair; do
        case ${pair%%=*} in
            BELLWETHER_* | AWS_* | PG*)
                value=${pair#*=}
                value=${value//\\/\\\\}
                value=${value//\"/\\\"}
                value=${value//\$/\\\$}
                value=${value//\`/\\\`}
                printf '%s="%s"\n' "${pair%%=*}" "$value"
                ;;
        esac
    done < <(print_properties)
}

if [ -z "${BELLWETHER_STORE:-}${BELLWETHER_STORE_FILE:-}" ]; then
    # Otherwise each instance would elect itself, in its own file.
    give_up "set the environment property BELLWETHER_STORE, such as dynamodb://bellwether"
fi
if [ -z "${BELLWETHER_ELECTION:-}" ]; then
    # Environments that share a table, such as staging and production, each elect a leader.
    environment=$(/opt/elasticbeanstalk/bin/get-config container -k environment_name)
    export BELLWETHER_ELECTION=${environment,,}
fi
if [ -z "${BELLWETHER_IDENTITY:-}" ] && [ -r /var/lib/cloud/data/instance-id ]; then
    BELLWETHER_IDENTITY=$(</var/lib/cloud/data/instance-id)
    export BELLWETHER_IDENTITY
fi

# A zip file may lose the mode.
chmod +x "$bundle/bellwether" \
    || give_up "put the program into .platform/bellwether/bellwether, and into git: \`eb deploy\`" \
        "ships what is committed, and nothing else, unless there is an .ebignore"
"$bundle/bellwether" --version \
    || give_up ".platform/bellwether/bellwether does not run here: it has to be for $(uname -m)"

# The following files may contain passwords.
umask 077
draft=$(mktemp -d)
trap 'rm -rf "$draft"' EXIT
print_settings >"$draft/environment"
print_properties >"$draft/properties"

# Checks the settings and the store. A store outage is not an error here.
"$bundle/bellwether" serve --check \
    || give_up "these settings do not work, see the line above; nothing was changed"

# replace MODE[:GROUP] SOURCE TARGET: does nothing if both are equal. Keeps the previous file.
replaced=()
replace() {
    if cmp -s "$2" "$3"; then return 1; fi
    if [ -e "$3" ]; then cp -p "$3" "$draft/before-${3##*/}"; fi
    install -m "${1%:*}" "$2" "$3.new"
    case $1 in *:*) chgrp "${1#*:}" "$3.new" ;; esac
    mv -f "$3.new" "$3"
    replaced+=("$3")
}

# Restores the previous files.
take_back() {
    local target before
    for target in "${replaced[@]}"; do
        before=$draft/before-${target##*/}
        if [ -e "$before" ]; then mv -f "$before" "$target"; else rm -f "$target"; fi
    done
}

restarts() { systemctl show --property NRestarts --value bellwether.service; }

# Waits until the election is decided, for 20 s. Fails if the sidecar does not stay up meanwhile.
decided=no
stays_up() {
    # systemd also counts earlier restarts: compare with the count before.
    local before
    before=$(restarts)
    for _ in {1..10}; do
        if "$program" wait --timeout 2s 2>/dev/null; then
            decided=yes
            return 0
        fi
        if [ "$(restarts)" != "$before" ] || systemctl is-failed --quiet bellwether.service; then
            return 1
        fi
    done
}

# The application's user runs its jobs, if that user exists.
install -d -m 755 /etc/bellwether
readers=600
if getent group webapp >/dev/null; then readers=640:webapp; fi
replace "$readers" "$draft/properties" "$properties" || true
replace 755 "$bundle/with_properties" "$wrapper" || true
ln -sfn with_properties /usr/local/bin/leader_only

changed=no
if replace 755 "$bundle/bellwether" "$program"; then changed=yes; fi
if replace 600 "$draft/environment" "$settings"; then changed=yes; fi
if replace 644 "$bundle/bellwether.service" "$unit"; then
    systemctl daemon-reload
    changed=yes
fi

# When `files:` of .ebextensions replaces a cron table, it keeps the old one as a backup. When a table
# leaves the application, Beanstalk leaves it on the instance. cron would run both.
for backup in /etc/cron.{d,hourly,daily,weekly,monthly}/*.bak; do
    if [ -f "$backup" ] && grep -qE 'leader_only|bellwether' "$backup"; then
        say "removed the backup $backup"
        rm -f "$backup"
    fi
done
for table in /etc/cron.d/*; do
    if [ -f "$table" ] && [ -d "$application/.ebextensions" ] \
        && grep -q '^# Of \.ebextensions: removed when it leaves the application\.$' "$table" \
        && ! grep -rqF "$table:" "$application/.ebextensions"; then
        say "removed $table, which has left the application"
        rm -f "$table"
    fi
done

systemctl enable --quiet bellwether.service
if [ "$changed" = yes ]; then
    systemctl restart bellwether.service
else
    systemctl start bellwether.service
fi

# Later commands of the deployment may ask for the leader.
if ! stays_up; then
    # systemd writes five lines for each restart, and may be faster than the reason.
    timeout 10 journalctl --sync || true
    journalctl --unit bellwether.service --lines 30 --output cat --no-pager >&2 || true
    if [ -e "$draft/before-bellwether" ] || [ -e "$draft/before-environment" ] \
        || [ -e "$draft/before-bellwether.service" ]; then
        take_back
        systemctl daemon-reload
        systemctl restart bellwether.service
        give_up "the sidecar does not stay up, see the lines above; it is as it was before"
    fi
    give_up "the sidecar does not stay up: see the lines above"
fi
if [ "$decided" = yes ]; then
    say "the election is decided"
else
    # A store outage must not keep an instance out of service.
    say "warning: the election is still undecided, journalctl --unit bellwether says why; the deployment continues"
fi
