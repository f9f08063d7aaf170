# The production image: the proxy without `demo` and `simulate`, so that no certificate authority and no token mint
# lies beside real secrets. `--build-arg FEATURES=simulator` adds them (docker-compose.yml does, for its region).
#
# This image pins the toolchain. rust-toolchain.toml is left out of the build (.dockerignore): it would make
# rustup fetch the lint components.
FROM rust:1.95.0-bookworm AS build
WORKDIR /src

# The dependencies, a layer that only a change of the manifests builds again. Cargo wants a file for each target
# that the manifests name, so there is an empty one; what is built of those is removed.
COPY Cargo.toml Cargo.lock ./
COPY crates/simulator/Cargo.toml crates/simulator/
RUN for file in src/lib.rs src/main.rs crates/simulator/src/lib.rs \
      $(sed -n 's/^path = "\(.*\.rs\)"$/\1/p' Cargo.toml) \
      $(sed -n '/^\[\[bench]]/,/^$/ s/^name = "\(.*\)"$/benches\/\1.rs/p' Cargo.toml); \
    do mkdir -p "$(dirname "$file")" && echo 'fn main() {}' > "$file"; done \
 && cargo build --locked --profile dist --package cxone-proxy --bin cxone-proxy --no-default-features \
 && cargo clean --locked --profile dist --package cxone-proxy --package cxone-simulator

COPY . .
ARG FEATURES=
RUN cargo build --locked --profile dist --package cxone-proxy --bin cxone-proxy --no-default-features \
      --features "$FEATURES"

# glibc and the platform's roots of trust; no shell, no package manager.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /src/target/dist/cxone-proxy /usr/local/bin/cxone-proxy
# A number, so that Kubernetes can verify `runAsNonRoot`.
USER 65532:65532
EXPOSE 8080 8081
# Asks /readyz where the environment says that the admin listener is.
HEALTHCHECK --interval=10s --timeout=6s --start-period=15s CMD ["/usr/local/bin/cxone-proxy", "ready"]
ENTRYPOINT ["/usr/local/bin/cxone-proxy"]
CMD ["serve"]
