# This image pins the toolchain. rust-toolchain.toml is left out of the build (.dockerignore): it would make
# rustup fetch the lint components.
FROM rust:1.95.0-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --bin cxone-proxy

# glibc and the platform's roots of trust; no shell, no package manager.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /src/target/release/cxone-proxy /usr/local/bin/cxone-proxy
# A number, so that Kubernetes can verify `runAsNonRoot`.
USER 65532:65532
EXPOSE 8080 8081
# Asks /readyz where the environment says that the admin listener is.
HEALTHCHECK --interval=10s --timeout=6s --start-period=15s CMD ["/usr/local/bin/cxone-proxy", "ready"]
ENTRYPOINT ["/usr/local/bin/cxone-proxy"]
CMD ["serve"]
