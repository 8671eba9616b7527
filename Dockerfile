# Watchline in a container; by default on the CPU:
#
#     docker build -t watchline .
#     docker run --rm -u "$(id -u):$(id -g)" -v "$PWD:/work" watchline annotate clip.mp4 --out out
#
# deploy/compose.yaml runs it with cameras. The runtimes of NVIDIA GPUs need a CUDA base, one that brings Python 3.11 or
# newer:
#
#     docker build -t watchline:cuda --build-arg BASE=nvidia/cuda:12.9.1-runtime-ubuntu24.04 --build-arg EXTRAS=tensorrt .

ARG BASE=python:3.12-slim

# The base is the user's to choose.
# hadolint ignore=DL3006
FROM ${BASE} AS build
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]

# Debian and Ubuntu leave `venv` out of their Python; which version of it there is, the base decides.
# hadolint ignore=DL3008
RUN if ! python3 -c 'import ensurepip'; then \
        apt-get update && apt-get install -y --no-install-recommends python3 python3-venv && rm -rf /var/lib/apt/lists/*; \
    fi && python3 -m venv /opt/watchline

WORKDIR /source
COPY . .
ARG EXTRAS=
RUN /opt/watchline/bin/pip install --no-cache-dir ".${EXTRAS:+[$EXTRAS]}"

# hadolint ignore=DL3006
FROM ${BASE}
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]

# hadolint ignore=DL3008
RUN if ! command -v python3 >/dev/null; then \
        apt-get update && apt-get install -y --no-install-recommends python3 && rm -rf /var/lib/apt/lists/*; \
    fi && useradd --uid 10001 --create-home watchline && \
    install --directory --owner=10001 --group=10001 /work && install --directory --mode=1777 /var/cache/watchline

COPY --from=build /opt/watchline /opt/watchline
ENV PATH=/opt/watchline/bin:$PATH PYTHONUNBUFFERED=1 WATCHLINE_CACHE=/var/cache/watchline
USER 10001
WORKDIR /work
# `run` is healthy while a file of its outputs grows: events come from every camera, at least when it is tried again.
# Other commands end by themselves, and what `--jsonl` writes is not looked at.
HEALTHCHECK --interval=1m --start-period=2m CMD ["bash", "-c", "\
    ! grep -Eqz '(^| )run( |$)' /proc/1/cmdline || grep -qz -e --jsonl /proc/1/cmdline || \
    find -L /proc/[0-9]*/fd -type f -mmin -2 -exec readlink {} + 2>/dev/null | grep -q '[.]part$'"]
ENTRYPOINT ["watchline"]
CMD ["annotate", "--help"]
