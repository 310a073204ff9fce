#!/usr/bin/env bash
# Makes every small change of what decides by cargo-mutants, and expects a unit test to fail of each.
# tests/mutants/survivors.txt names those that none fails of, each with its reason.
#
#   tests/mutants/scan.sh [FILE...]     src/election/watch.rs, to change that file only
set -euo pipefail
cd "$(dirname "$0")/../.."
home=$PWD

# All of the election. Elsewhere, files that do no I/O: lib.rs below names them, and what they import.
decisions=(
    'src/election.rs'
    'src/election/**'
    src/command/plan.rs
    src/driver/under_way.rs
    src/store/{format,service_clock}.rs
    src/store/dynamodb/item.rs
    src/store/kubernetes/lease.rs
)
whole=
if [ $# = 0 ]; then
    whole=yes
    set -- "${decisions[@]}"
fi

version=27.1.0
if ! [ -x target/tools/cargo-mutants/bin/cargo-mutants ]; then
    cargo install cargo-mutants --version "$version" --locked --root target/tools/cargo-mutants
fi
export PATH="$home/target/tools/cargo-mutants/bin:$PATH"

# In a crate of their own: a mutant is built in a second or two.
root=target/mutants/decisions
rm -rf "$root/src" "$root/mutants.out"
mkdir -p "$root/.cargo"
cp -r src "$root/src"
rm "$root/src/main.rs"
cp .cargo/mutants.toml "$root/.cargo"
cp Cargo.lock "$root"
cat >"$root/src/lib.rs" <<'RUST'
#![allow(dead_code)]
pub mod election;
pub mod command {
    pub mod plan;
}
pub mod driver {
    mod under_way;
}
pub mod store {
    mod format;
    mod service_clock;
    pub mod dynamodb {
        mod item;
    }
    pub mod kubernetes {
        mod lease;
        mod url;
    }
}
RUST
{
    printf '[package]\nname = "bellwether"\nversion = "0.1.0"\nedition = "2024"\n'
    sed -n '/^\[dependencies\]/,/^\[build-dependencies\]/p' Cargo.toml | sed '$d'
    printf '[profile.dev]\nopt-level = 0\ndebug = 0\n[workspace]\n'
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
short() { sed -E 's/:[0-9]+:[0-9]+: /: /' "$@" | sort -u; }
listed=$(sed -E '/^#/d; /^$/d; s/ +# .*//' "$home/tests/mutants/survivors.txt" | sort -u)
new=$(comm -23 <(short mutants.out/missed.txt) <(echo "$listed"))
gone=$(comm -12 <(comm -23 <(short mutants.out/caught.txt) <(short mutants.out/missed.txt)) <(echo "$listed"))
wc -l mutants.out/{caught,missed,timeout,unviable}.txt
all=$(short mutants.out/{caught,missed,timeout,unviable}.txt)
if [ -z "$all" ]; then
    echo "there is no change to make in $*" >&2
    exit 1
fi
stale=
if [ -n "$whole" ]; then stale=$(comm -13 <(echo "$all") <(echo "$listed")); fi
if [ -n "$new" ]; then printf 'no test fails of these:\n%s\n' "$new" >&2; fi
if [ -n "$gone" ]; then printf 'in tests/mutants/survivors.txt, but a test fails of these:\n%s\n' "$gone" >&2; fi
if [ -n "$stale" ]; then printf 'in tests/mutants/survivors.txt, but no change is called so:\n%s\n' "$stale" >&2; fi
[ -z "$new$gone$stale" ]
