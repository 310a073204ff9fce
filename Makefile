# The commands of this project. `make test` is all that CI runs.

.PHONY: test setup fuzz figures figures-once figures-postgres release

# Formatting, lints and every test; installs what is missing first.
test: setup
	tests/all.sh

# What the tests need beside the Rust toolchain. Debian and Ubuntu.
setup:
	tests/setup.sh

# A million requests from a new seed. Takes about five minutes.
fuzz: setup
	BELLWETHER_FUZZ=1000000 BELLWETHER_SEED=$$(date +%s) cargo test --locked --test fuzz -- --nocapture

# The figures of the README, measured here. Takes about four minutes.
figures: setup
	cargo bench --locked --bench figures

# The figures of docs/once.md, measured here. Takes about eight minutes.
figures-once: setup
	cargo bench --locked --bench once

# The figures of docs/postgres.md, measured here. Takes about twelve minutes.
figures-postgres: setup
	cargo bench --locked --bench postgres

# The small binary: target/release/bellwether.
release:
	cargo build --locked --release
