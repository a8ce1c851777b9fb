# The image of Fairlead: one static binary, the CA roots, nothing else. Build it from a plain clone:
#
#   docker build -t fairlead .

FROM rust:1.95-bookworm AS build
# `quick` is built in a third of the time, for tests.
ARG PROFILE=release
WORKDIR /src
COPY . .
# The C library is linked in, so that the image needs no other file.
RUN target=$(rustc -vV | sed -n 's/^host: //p') \
 && RUSTFLAGS='-C target-feature=+crt-static' cargo build --profile "$PROFILE" --locked --bin fairlead --target "$target" \
 && scripts/image-files.sh "target/$target/$PROFILE/fairlead" /out

FROM scratch
COPY --from=build /out/ /
USER 65532:65532
# Traffic; health and metrics. The pod sysctl net.ipv4.ip_unprivileged_port_start=0 lets this user listen there.
EXPOSE 80 443 10254
LABEL org.opencontainers.image.title="fairlead" \
      org.opencontainers.image.description="A Kubernetes ingress controller with its proxy inside" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0"
ENTRYPOINT ["/fairlead"]
CMD ["serve"]
