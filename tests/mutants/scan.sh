#!/usr/bin/env bash
# Makes every small change of the election by cargo-mutants, and expects a unit test to fail of each.
# tests/mutants/survivors.txt names those that none fails of, each with its reason.
#
#   tests/mutants/scan.sh [FILE...]     src/election/watch.rs, to change that file only
set -euo pipefail
cd "$(dirname "$0")/../.."
home=$PWD

version=27.1.0
if ! [ -x target/tools/cargo-mutants/bin/cargo-mutants ]; then
    cargo install cargo-mutants --version "$version" --locked --root target/tools/cargo-mutants
fi
export PATH="$home/target/tools/cargo-mutants/bin:$PATH"

# The election in a crate of its own: a mutant is built in a second or two.
root=target/mutants/election
rm -rf "$root/src" "$root/mutants.out"
mkdir -p "$root/src" "$root/.cargo"
cp -r src/election.rs src/election "$root/src"
cp .cargo/mutants.toml "$root/.cargo"
cp Cargo.lock "$root"
echo 'pub mod election;' >"$root/src/lib.rs"
{
    printf '[package]\nname = "bellwether"\nversion = "0.1.0"\nedition = "2024"\n[dependencies]\n'
    grep -E '^(fastrand|humantime|serde|serde_json|thiserror|url) = ' Cargo.toml
    printf '[profile.dev]\nopt-level = 1\ndebug = 0\n[workspace]\n'
} >"$root/Cargo.toml"

cd "$root"
# It changes the copy, where what was built before is used again. Code 2: some survived; 3: some timed out,
# which is as good as a test that fails.
# A mutant may allocate without end: eight gigabytes are more than the compiler takes.
ulimit -v 8000000
code=0
cargo mutants --in-place --timeout 60 "${@/#/--file=}" || code=$?
[ "$code" = 0 ] || [ "$code" = 2 ] || [ "$code" = 3 ] || exit "$code"

# Without lines and columns, which move.
short() { sed -E 's/:[0-9]+:[0-9]+: /: /' "$1" | sort -u; }
listed=$(sed -E '/^#/d; /^$/d; s/ +# .*//' "$home/tests/mutants/survivors.txt" | sort -u)
new=$(comm -23 <(short mutants.out/missed.txt) <(echo "$listed"))
gone=$(comm -12 <(comm -23 <(short mutants.out/caught.txt) <(short mutants.out/missed.txt)) <(echo "$listed"))
wc -l mutants.out/{caught,missed,timeout,unviable}.txt
if [ -n "$new" ]; then printf 'no test fails of these:\n%s\n' "$new" >&2; fi
if [ -n "$gone" ]; then printf 'in tests/mutants/survivors.txt, but a test fails of these:\n%s\n' "$gone" >&2; fi
[ -z "$new$gone" ]
