# syntax=docker/dockerfile:1

# The image: one static binary, and papers. `make image` builds it, with docker, podman or buildah.
#
# For amd64 and arm64. Every step runs on the platform that the image is for: natively on such a
# machine, emulated elsewhere (`make image PLATFORM=linux/arm64`, slow). Nothing differs between them.

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock build.rs LICENSE-APACHE LICENSE-MIT ./
# Cargo looks for the benches because Cargo.toml names them.
COPY benches benches
COPY build build
COPY image image
COPY src src
# Cargo reads the manifest of what the tests share because Cargo.toml names it.
COPY tests/support tests/support
# What was downloaded and compiled is kept from one build to the next, for each platform apart.
ARG TARGETARCH
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target,id=bellwether-target-$TARGETARCH \
    image/build.sh >/binary \
    && image/root.sh "$(cat /binary)" /image \
    && mkdir /state

# No shell, no package manager, nothing to update but the binary.
FROM scratch
# The public roots of TLS are in the binary; so are the files and DNS of name resolution. A container
# engine puts /etc/hosts and /etc/resolv.conf in place.
COPY --from=build /image/ /
# For containers of one host: mount a volume here that they share, and name the store
# sqlite:///var/lib/bellwether/leases.db. Everything else works on a read-only root file system.
COPY --from=build --chown=65532:65532 --chmod=0700 /state /var/lib/bellwether
# Not every engine says that this is a container. In one there is no default store: each would have a
# file, and so a leader, of its own.
ENV container=oci
# A number, so that Kubernetes can see that it is not root. It has no name, and needs none.
USER 65532:65532
# 127.0.0.1 by default: for an application in the same task or pod. Where the application is in a
# network of its own, set BELLWETHER_LISTEN=0.0.0.0:4040.
ENTRYPOINT ["/bellwether"]
CMD ["serve"]
# Healthy from the first decided election on, whoever leads and wherever the store is; unhealthy when
# the election loop has stopped. The start period is for a store that is not there yet.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["/bellwether", "healthcheck"]

ARG REVISION=""
ARG CREATED=""
LABEL org.opencontainers.image.title="bellwether" \
      org.opencontainers.image.description="Leader election sidecar" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$CREATED"
