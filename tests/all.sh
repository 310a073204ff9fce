#!/usr/bin/env bash
# Formatting, lints and every test. Ends non-zero if anything fails, or was skipped.
set -euo pipefail

# The tests send HUP, INT and QUIT. What nohup starts, or a script in the background, inherits that they are ignored:
# the first two bits. Bash itself ignores QUIT always.
ignored=$(sed -n 's/^SigIgn:[[:space:]]*/0x/p' "/proc/$$/status")
if [ $((ignored & 3)) != 0 ]; then
    exec env --default-signal=HUP,INT,QUIT "$0" "$@"
fi

cd "$(dirname "$0")/.."
export PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"

cargo fmt --all --check
cargo clippy --locked --all-targets -- -D warnings
cargo clippy --locked --test cluster --test chaos -- -D warnings
# The pages are for engineers who work on this crate: links to private items are what they need.
RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" \
    cargo doc --locked --no-deps --document-private-items --quiet

# Most tests wait for processes, leases and servers: twice as many at once as there are cores keep them busy. With
# three times as many, guards were late by more than what a short lease leaves them.
export RUST_TEST_THREADS=${RUST_TEST_THREADS:-$(($(nproc) * 2))}
logs=$(mktemp -d)
static=$(mktemp)
trap 'rm -rf "$logs" "$static"; kill $(jobs -p) 2>/dev/null || true' EXIT

# All test programs but: the simulation, which the hunts for the planted bugs run first, optimized; what is deployed,
# which waits for the static binary; chaos, which comes late; and the cluster, which has a command of its own.
programs=()
for program in tests/*/main.rs; do
    program=$(basename "$(dirname "$program")")
    case $program in core | deploy | chaos | cluster) ;; *) programs+=(--test "$program") ;; esac
done
cargo test --locked --no-run --lib --bins "${programs[@]}" --test deploy --test chaos

# CI looks at what is shipped, and tests wait for it. Elsewhere they link a static binary in a second that was not
# optimized.
builds_static=
if [ -n "${CI:-}" ] && [ -z "${BELLWETHER_STATIC_BINARY:-}" ]; then builds_static=yes; fi

# This computes for minutes and waits for nothing. It takes what the tests leave: each test goes before it as soon as
# that has something to do. What it prints comes at the end.
hunt() {
    if [ -n "$builds_static" ]; then image/build.sh >"$static" || return 1; fi
    local failed=0
    cargo test --locked --test mutants -- the_simulation_catches the_model_finds || failed=1
    cargo test --locked --doc || failed=1
    return "$failed"
}

(chrt --idle --pid 0 "$BASHPID" && hunt) >"$logs/hunts" 2>&1 &
hunting=$!

# Prints what it runs, and whether a test was skipped is seen in what it printed.
tests() {
    cargo test --locked --no-fail-fast "$@" -- --skip the_simulation_catches --skip the_model_finds \
        --skip every_planted_bug_compiles 2>&1 | tee -a "$logs/tests"
}

failed=0
tests --lib --bins "${programs[@]}" || failed=1
# Twenty candidates would take the time of those that assert an order: they come after them. Two stores at once, because
# candidates mostly wait, and a violation is none of time.
chaos() {
    CHAOS_STORES="$1" CHAOS_MINUTES=1.25 cargo test --locked --test chaos
}
chaos "sqlite dynamodb" >"$logs/chaos" 2>&1 &
beside=$!
chaos "postgres kubernetes" 2>&1 | tee "$logs/chaos-on-servers" || failed=1
wait "$beside" || failed=1
cat "$logs/chaos"
if [ -n "$builds_static" ]; then
    while [ ! -s "$static" ] && kill -0 "$hunting" 2>/dev/null; do sleep 1; done
    BELLWETHER_STATIC_BINARY=$(cat "$static")
    export BELLWETHER_STATIC_BINARY
fi
tests --test deploy || failed=1
wait "$hunting" || failed=1
cat "$logs/hunts"
if grep -hE '^test result: .* [1-9][0-9]* ignored' "$logs"/*; then
    echo "tests were skipped: see above" >&2
    exit 1
fi
# Thousands of lines lie between a failure and the end, and of a long log often the last lines only are kept: the
# beginning of each failure again.
if [ "$failed" != 0 ]; then
    tests/failures.sh "$logs"/* >&2
fi
exit "$failed"
