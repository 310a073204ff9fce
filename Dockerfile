# syntax=docker/dockerfile:1

# The image: one static binary, and its licences. `make image` builds it with docker, podman or buildah.
#
# For amd64 and arm64, with the same steps. Every step runs on the platform of the image: natively on
# such a machine, emulated elsewhere (`make image PLATFORM=linux/arm64`, slow).

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock build.rs LICENSE-APACHE LICENSE-MIT ./
COPY .cargo .cargo
# Cargo needs the benches because Cargo.toml names them.
COPY benches benches
COPY build build
COPY image image
COPY src src
# Cargo reads the manifest of the tests' crate because Cargo.toml names it.
COPY tests/support tests/support
# Caches keep downloads and compiled code from one build to the next, for each platform separately.
ARG TARGETARCH
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target,id=bellwether-target-$TARGETARCH \
    image/build.sh >/binary \
    && image/root.sh "$(cat /binary)" /image \
    && mkdir /state

# The image has no shell and no package manager. The binary is the only part to update.
FROM scratch
# The binary contains the public roots of TLS, and name resolution by files and DNS. A container engine
# provides /etc/hosts and /etc/resolv.conf.
COPY --from=build /image/ /
# For containers of one host: mount a shared volume here, and set the store to
# sqlite:///var/lib/bellwether/leases.db. Everything else works on a read-only root file system.
COPY --from=build --chown=65532:65532 --chmod=0700 /state /var/lib/bellwether
# Tells the program that it runs in a container, because not every engine does. A container has no
# default store: each container would elect its own leader in its own file.
ENV container=oci
# A number, so that Kubernetes can see that the user is not root. The user needs no name.
USER 65532:65532
# It listens on 127.0.0.1, for an application in the same task or pod. If the application has its own
# network, set BELLWETHER_LISTEN=0.0.0.0:4040.
ENTRYPOINT ["/bellwether"]
CMD ["serve"]
# Healthy after the first decision, even as a standby and during a store outage. Unhealthy when the
# election loop has stopped. The start period is for a store that starts later.
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
