#!/bin/sh
# Prints the licence texts of all parts in the binary. Most licences require their text next to the
# binary. Each text is printed once, below the names of its parts.
set -eu
cd "$(dirname "$0")/.."

triple=$(rustc -vV | sed -n 's/^host: //p')
packages=${CARGO_HOME:-$HOME/.cargo}/registry/src
list=$(mktemp)
trap 'rm -f "$list"' EXIT

# In a pipe, nothing would notice that it fails.
parts=$(cargo tree --locked --target "$triple" --edges normal --prefix none --no-dedupe --format '{p}|{l}')
printf '%s\n' "$parts" | grep -v '^bellwether ' | LC_ALL=C sort -u |
    while IFS='|' read -r part licence; do
        name=${part%% *}
        version=${part#* v}
        version=${version%% *}
        found=
        for file in "$packages"/*/"$name-$version"/*; do
            case ${file##*/} in
            [Ll][Ii][Cc][Ee][Nn][CcSs][Ee]* | COPYING* | COPYRIGHT* | NOTICE* | UNLICENSE*)
                if [ -f "$file" ]; then
                    echo "$(sha256sum <"$file" | cut -d' ' -f1) $name-$version $file"
                    found=yes
                fi
                ;;
            esac
        done
        # The package has no licence text, only the name of the licence.
        [ -n "$found" ] || echo "$name-$version: $licence" >&3
    done 3>"$list.unstated" | LC_ALL=C sort >"$list"

echo "The parts of bellwether, and their licences."
echo
echo "glibc is linked statically, under the LGPL 2.1. The source of bellwether is public, so you can link it"
echo "with another glibc (\`make static\`). SQLite is in the public domain."
if [ -s "$list.unstated" ]; then
    echo
    echo "Without a text of their own:"
    echo
    cat "$list.unstated"
fi
rm -f "$list.unstated"
cut -d' ' -f1 "$list" | uniq | while read -r sum; do
    echo
    echo "--------------------------------------------------------------------------------"
    grep "^$sum " "$list" | cut -d' ' -f2 | uniq
    echo
    cat "$(grep "^$sum " "$list" | head -1 | cut -d' ' -f3-)"
done
