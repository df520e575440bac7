# syntax=docker/dockerfile:1
# One image with all four programs. The processes are ingest, detector and exporter; agentaudit is the command line.
#
# The last stage has glibc and no shell: agentaudit can load the embedded ClickHouse engine and is linked to glibc for that, so
# it would not start on a "static" image. The engine itself (a library of 600 MB) is not in the image: "agentaudit up" is for
# a machine of your own, here ClickHouse is a server.

FROM --platform=$BUILDPLATFORM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG TARGETOS=linux
ARG TARGETARCH=amd64
ARG VERSION=dev
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -buildvcs=false \
      -ldflags "-s -w -X github.com/agentaudit/agentaudit/internal/telemetry.version=$VERSION" \
      -o /out/bin/ ./cmd/...
# Folders for keys and for archives of people's data, which volumes are mounted on: a new volume takes owner and mode from here.
RUN mkdir -p /out/keys/keyring /out/keys/author /out/keys/detector /out/keys/exports && chmod 0700 /out/keys /out/keys/*

FROM gcr.io/distroless/base-debian12:nonroot
ARG VERSION=dev
LABEL org.opencontainers.image.title="agentaudit" \
      org.opencontainers.image.description="The audit trail for AI agents" \
      org.opencontainers.image.source="https://github.com/agentaudit/agentaudit" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION"
COPY --from=build /out/bin/ /usr/local/bin/
COPY --from=build --chown=65532:65532 /out/keys /var/lib/agentaudit
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/agentaudit"]
CMD ["--help"]
