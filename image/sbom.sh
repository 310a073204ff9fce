#!/bin/sh
# Prints the parts of the binary as CycloneDX: name, version, licence, checksum.
#
# It reads Cargo.lock and Cargo's list of crates for this platform, and needs no network and no other
# tool. The same lock file gives the same bytes: the output has no date and no serial number.
set -eu
cd "$(dirname "$0")/.."

triple=$(rustc -vV | sed -n 's/^host: //p')
libc=$(getconf GNU_LIBC_VERSION | cut -d' ' -f2)

cargo tree --locked --target "$triple" --edges normal --prefix none --no-dedupe --format '{p}|{l}' |
    LC_ALL=C sort -u |
    awk -F'|' -v libc="$libc" '
        function quoted(text) { gsub(/["\\]/, "\\\\&", text); return "\"" text "\"" }
        function part(kind, name, version, licence, url, sum) {
            printf "{\"type\": \"%s\", \"bom-ref\": %s, \"name\": %s, \"version\": %s, ", \
                kind, quoted(url), quoted(name), quoted(version)
            printf "\"purl\": %s, ", quoted(url)
            if (sum) printf "\"hashes\": [{\"alg\": \"SHA-256\", \"content\": \"%s\"}], ", sum
            # Older packages write a slash.
            gsub(/ *\/ */, " OR ", licence)
            printf "\"licenses\": [{\"expression\": %s}]}", quoted(licence)
        }
        BEGIN {
            # Cargo.lock: the checksums by name and version.
            while ((getline line < "Cargo.lock") > 0) {
                split(line, word, "\"")
                if (line ~ /^name = /) name = word[2]
                if (line ~ /^version = /) version = word[2]
                if (line ~ /^checksum = /) sums[name " " version] = word[2]
            }
        }
        {
            split($1, word, " ")
            name = word[1]; version = substr(word[2], 2)
            url = "pkg:cargo/" name "@" version
            if (name == "bellwether") {
                own = name; own_version = version; own_licence = $2; own_url = url; next
            }
            names[++n] = name; versions[n] = version; licences[n] = $2; urls[n] = url
        }
        END {
            if (!own) exit 1
            print "{\"bomFormat\": \"CycloneDX\", \"specVersion\": \"1.5\", \"version\": 1, \"metadata\": {\"component\":"
            part("application", own, own_version, own_licence, own_url)
            print "}, \"components\": ["
            for (i = 1; i <= n; i++) {
                part("library", names[i], versions[i], licences[i], urls[i], sums[names[i] " " versions[i]])
                print ","
            }
            part("library", "glibc", libc, "LGPL-2.1-or-later", "pkg:generic/glibc@" libc)
            print "\n]}"
        }'
