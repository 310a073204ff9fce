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

# Most tests wait for processes, leases and servers: twice as many at once as there are cores keep them busy. With
# three times as many, guards were late by more than what a short lease leaves them.
export RUST_TEST_THREADS=${RUST_TEST_THREADS:-$(($(nproc) * 2))}
log=$(mktemp)
hunt=$(mktemp)
static=$(mktemp)
candidates=$(mktemp)
trap 'rm -f "$log" "$hunt" "$static" "$candidates"; kill $(jobs -p) 2>/dev/null || true' EXIT

# CI looks at what is shipped: the static binary as it is released. Elsewhere the tests link one in a
# second that was not optimized. Its last step is for one core, so the tests are built beside it.
building=
if [ -n "${CI:-}" ] && [ -z "${BELLWETHER_STATIC_BINARY:-}" ]; then
    image/build.sh >"$static" &
    building=$!
fi
cargo test --locked --no-run
if [ -n "$building" ]; then
    wait "$building"
    BELLWETHER_STATIC_BINARY=$(cat "$static")
    export BELLWETHER_STATIC_BINARY
fi

# The hunts for the planted bugs begin with the whole simulation, optimized, and build each bug: the other tests
# leave both to them. Lints come last: while they check the crate, no other cargo can begin.
compute() {
    local failed=0
    cargo test --locked --test mutants -- the_simulation_catches the_model_finds || failed=1
    cargo clippy --locked --all-targets -- -D warnings || failed=1
    cargo clippy --locked --test cluster --test chaos -- -D warnings || failed=1
    # The pages are for engineers who work on this crate: links to private items are what they need.
    RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" \
        cargo doc --locked --no-deps --document-private-items --quiet || failed=1
    return "$failed"
}

# All that computes for minutes and waits for nothing takes what the tests leave. What it prints comes at the end.
(renice -n 19 "$BASHPID" >/dev/null && compute) >"$hunt" 2>&1 &
computing=$!

failed=0
cargo test --locked --no-fail-fast -- --skip the_simulation_catches --skip the_model_finds \
    --skip every_planted_bug_compiles --skip every_invariant_holds_in_every_run 2>&1 | tee "$log" ||
    failed=1
# Twenty candidates would take the time of those that assert an order: they come after them. Two stores at once, because
# candidates mostly wait, and a violation is none of time.
chaos() {
    CHAOS_STORES="$1" CHAOS_MINUTES=1.25 cargo test --locked --test chaos
}
chaos "sqlite dynamodb" >"$candidates" 2>&1 &
beside=$!
chaos "postgres kubernetes" || failed=1
wait "$beside" || failed=1
cat "$candidates"
wait "$computing" || failed=1
cat "$hunt"
if grep -hE '^test result: .* [1-9][0-9]* ignored' "$log" "$hunt"; then
    echo "tests were skipped: see above" >&2
    exit 1
fi
# Thousands of lines lie between a failure and the end: the beginning of each, again.
if [ "$failed" != 0 ]; then
    awk '/^---- .* stdout ----$|^error/ { left = 12 } left-- > 0' "$log" "$hunt" | cut -c -300 >&2
fi
exit "$failed"
