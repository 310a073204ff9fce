# The commands of this project. `make test` is all that CI runs.

.PHONY: test test-fast test-cluster setup chaos model mutants fuzz figures figures-once figures-postgres figures-rollout \
    figures-scale compare docs readability release static image package release-check

# Formatting, lints and every test; installs what is missing first.
test: setup
	tests/all.sh

# The chart on a real cluster of one node, in namespaces of its own. Needs root. It takes about five minutes, and
# about five more when it builds Kubernetes. CLUSTER_TESTS=NAME runs the tests with this in their name only.
test-cluster: setup
	tests/cluster/setup.sh
	cargo test --locked --test cluster -- --nocapture $(CLUSTER_TESTS)

# Real processes and a real store, harmed at random for MINUTES, at most 240. STORE is sqlite, postgres, dynamodb or
# kubernetes, several of them, or (without it) each in turn. SEED begins from the same seed.
chaos: setup
	CHAOS_STORES="$(STORE)" CHAOS_MINUTES="$(MINUTES)" BELLWETHER_SEED="$(SEED)" cargo test --locked --test chaos

# What a change to the core or to a page can break: the simulation, the layers, the pages, the release. A few
# minutes after a build, and no tool but sqlite3, python3, shellcheck and cargo-deny (`make setup`). The planted bugs
# take minutes and are not in it; whether each can still be planted is.
test-fast:
	CARGO_PROFILE_DEV_OPT_LEVEL=1 cargo test --locked --test core --test repo --test mutants -- \
	    --skip the_simulation_catches --skip the_model_finds

# What the tests need beside the Rust toolchain. Debian and Ubuntu.
setup:
	tests/setup.sh

# The model checker with more faults: two candidates, and three. Takes about ten minutes, and 4 GB of memory.
# Optimized, with the dependencies that the other tests have built.
model:
	BELLWETHER_FAULTS=most CARGO_PROFILE_DEV_OPT_LEVEL=3 cargo test --locked --test model -- --nocapture

# Every small change of the election, and of the other files that tests/mutants/scan.sh names, by cargo-mutants: a test
# has to fail of each. Takes two hours. FILE=src/election/watch.rs changes that file only.
mutants:
	tests/mutants/scan.sh $(FILE)

# A million requests from a new seed. Takes about five minutes.
fuzz: setup
	BELLWETHER_FUZZ=1000000 BELLWETHER_SEED=$$(date +%s) cargo test --locked --test program fuzz:: -- --nocapture

# The figures of docs/reliability.md, measured here. Takes about seven minutes.
figures: setup
	cargo bench --locked --profile dist --bench figures --bench http

# The figures of docs/once.md, measured here. Takes about eight minutes.
figures-once: setup
	cargo bench --locked --profile dist --bench once

# The figures of docs/postgres.md, measured here. Takes about twelve minutes.
figures-postgres: setup
	cargo bench --locked --profile dist --bench postgres

# Many candidates, and many elections: writes the tables and the plots of docs/scale.md. Takes about forty minutes after
# the build; QUICK=1 takes about eight, with smaller crowds, for a look only.
figures-scale: setup
	cargo bench --locked --profile dist --bench scale

# bellwether, as it is shipped, beside its peers: writes the tables and plots of docs/comparison.md. Takes about
# thirty minutes after the builds; QUICK=1 takes three, for a look only.
compare: setup
	benches/compare/setup.sh
	compared=$$(image/build.sh) && COMPARED="$$compared" QUICK="$(QUICK)" cargo bench --locked --profile dev --bench compare

# The documentation as a site, every link checked: target/site/html/index.html.
docs:
	site/setup.sh
	site/build.py

# The Flesch-Kincaid grade of each page, and whether it is above its limit.
readability:
	site/setup.sh
	target/tools/readability/bin/python -W ignore site/readability.py README.md docs/*.md

# The figures of roll-outs in docs/reliability.md, measured here. Takes about eight minutes.
figures-rollout: setup
	cargo bench --locked --profile dist --bench rollouts

# The small binary: target/dist/bellwether.
release:
	cargo build --locked --profile dist

# The binary that needs nothing of where it runs: target/TRIPLE/dist/bellwether.
static:
	image/build.sh

# The image, with docker, podman or buildah: docs/image.md. IMAGE=name:tag PLATFORM=linux/arm64
image:
	image/image.sh

# The Debian package, the archive and the list of parts of a release, in target/dist. Needs cargo-deb.
package:
	rm -rf target/root
	image/root.sh "$$(image/build.sh)" target/root
	release/pack.sh target/root target/dist

# What has to hold before a version is tagged; builds the static binary, and tests that one.
release-check: setup
	image/release-check.sh
