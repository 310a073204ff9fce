#!/usr/bin/env bash
# Builds the peers of benches/compare into target/tools/compare, each from its own package. `make compare` calls it. It
# does nothing if they exist and were built from the same. The first time, it takes about ten minutes on two cores.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/install.sh

install_missing etcd:etcd-server etcdctl:etcd-client wrk:wrk taskset:util-linux mvn:maven javac:default-jdk-headless
go_programs compare benches/compare/peers ./client-go ./advisory-lock ./worker

lease=benches/compare/peers/dynamodb-lease
made_from=$(cat "$lease/Cargo.lock" "$lease/src/main.rs" | sha256sum)
if [ "$(cat target/tools/compare/lease-made-from.txt 2>/dev/null)" != "$made_from" ]; then
    echo "building: $lease"
    # Without the settings of the user who builds the project.
    CARGO_TARGET_DIR=target/compare cargo build --locked --release --manifest-path "$lease/Cargo.toml"
    cp target/compare/release/dynamodb-lease-peer target/tools/compare/dynamodb-lease
    echo "$made_from" >target/tools/compare/lease-made-from.txt
fi

# Amazon's DynamoDB lock client, and the program that uses it.
client=benches/compare/peers/dynamodb-lock-client
folder=target/tools/compare/dynamodb-lock-client
made_from=$(cat "$client/pom.xml" "$client/Peer.java" | sha256sum)
if [ "$(cat "$folder/made-from.txt" 2>/dev/null)" != "$made_from" ]; then
    echo "building: $client"
    rm -rf "$folder"
    mvn -q -B -f "$client/pom.xml" dependency:copy-dependencies -DincludeScope=runtime \
        -DoutputDirectory="$PWD/$folder/jars"
    javac -cp "$folder/jars/*" -d "$folder/classes" "$client/Peer.java"
    echo "$made_from" >"$folder/made-from.txt"
fi
