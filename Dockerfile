# syntax=docker/dockerfile:1
FROM rust:1.95-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends libssl-dev pkg-config && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# zlib goes into the binary; OpenSSL comes with the runtime image and its security updates.
ENV LIBZ_SYS_STATIC=1
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked --package stockade --features tls && cp target/release/stockade /stockade

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /stockade /usr/local/bin/stockade
USER 65532:65532
EXPOSE 7400 7401
ENTRYPOINT ["/usr/local/bin/stockade"]
CMD ["serve"]
