# One static binary in an empty image.
#
#   docker build -t veilwarden:v0.2.0 .
#   docker build --platform linux/arm64 -t veilwarden:v0.2.0 .     on arm64, or with emulation: the compiler runs there
#   make image                                                     buildah, with the binary that `make image-binary` made
#
# BuildKit and buildah set TARGETARCH from the platform that is asked for; an older builder compiles for its own.

FROM docker.io/library/rust:1.95.0-bookworm AS build
ARG TARGETARCH
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
WORKDIR /src
COPY . .
# The C library is linked in, too: nothing else is in the final image. The Mozilla roots are part of the program.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    layout=""; \
    case "${TARGETARCH:-$(dpkg --print-architecture)}" in \
        amd64) target=x86_64-unknown-linux-gnu; \
            layout="-C link-arg=-Wl,--symbol-ordering-file=layout/functions -C link-arg=-Wl,--no-warn-symbol-ordering" ;; \
        arm64) target=aarch64-unknown-linux-gnu ;; \
        *) echo "TARGETARCH=${TARGETARCH}: veilwarden is built for amd64 and arm64" >&2; exit 1 ;; \
    esac; \
    RUSTFLAGS="-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs -C strip=symbols ${layout}" \
    cargo build --release --locked --target "${target}"; \
    install -D -m 0555 "target/${target}/release/veilwarden" /out/veilwarden

FROM scratch
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="veilwarden" \
      org.opencontainers.image.description="A node-local HTTP proxy that puts the secret into a workload's call, so that the workload never holds it" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build --chmod=0555 /out/veilwarden /veilwarden
USER 65532:65532
EXPOSE 8088
ENTRYPOINT ["/veilwarden"]
