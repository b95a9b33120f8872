# The suite as an image. docker-compose.yml and docs/operations.md show how it is built and run.

FROM python:3.11-slim-bookworm AS build

# `server` alone leaves out espeak-ng, which is under the GPL-3.0.
ARG EXTRAS=server,espeak

ENV PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m pip install --constraint constraints.txt hatchling editables \
    && python -m pip wheel --no-deps --no-build-isolation --wheel-dir /wheels .
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv --without-pip /opt/antiphon \
    && python -m pip --python /opt/antiphon install --constraint constraints.txt "$(ls /wheels/antiphon-*.whl)[$EXTRAS]"

FROM python:3.11-slim-bookworm

# The embedded PostgreSQL refuses to run as root, and as a number without a name.
RUN groupadd --gid 10001 antiphon \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin antiphon \
    && install --directory --owner 10001 --group 10001 --mode 0700 /data

COPY --from=build /opt/antiphon /opt/antiphon

ENV PATH=/opt/antiphon/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    ANTIPHON_DATA_DIR=/data \
    ANTIPHON_SERVER__HOST=0.0.0.0 \
    ANTIPHON_METRICS__ADDRESS=0.0.0.0:9464 \
    ANTIPHON_SERVER=127.0.0.1:50051

USER 10001:10001
WORKDIR /data
VOLUME ["/data"]
EXPOSE 50051 9464
STOPSIGNAL SIGTERM
# The command takes most of a second on an idle machine, and a good part of a minute on one that is short of processors.
HEALTHCHECK --interval=15s --timeout=30s --start-period=120s --retries=3 CMD ["antiphon", "health", "--timeout", "5"]
ENTRYPOINT ["antiphon"]
CMD ["serve"]
