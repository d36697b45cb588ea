# The command line of the project in one image: worker, topics, simulation, replay, audit …
# Every package comes from a lock file, checked by hash, as a wheel: no compiler is needed.

FROM python:3.11-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /source

COPY requirements-build.lock requirements-runtime.lock ./
RUN python -m venv /opt/build
RUN /opt/build/bin/pip install --only-binary :all: --require-hashes -r requirements-build.lock
RUN python -m venv /opt/profiler
RUN /opt/profiler/bin/pip install --only-binary :all: --require-hashes -r requirements-runtime.lock

COPY pyproject.toml README.md LICENSE ./
COPY profiler ./profiler
COPY streams ./streams
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --no-index --wheel-dir /wheels .
RUN /opt/profiler/bin/pip install --no-deps --no-index --find-links /wheels streaming-user-profiles


FROM python:3.11-slim-bookworm
LABEL org.opencontainers.image.title="streaming-user-profiles" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV PATH=/opt/profiler/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# The matrices of a batch are small: further threads would only wait for one another.
ENV OPENBLAS_NUM_THREADS=1
COPY --from=build /opt/profiler /opt/profiler
RUN useradd --system --uid 10001 --no-create-home profiler
USER 10001
WORKDIR /tmp

# Metrics and health of a worker; other commands have no such port and switch the check off.
ENV PROFILER_WEB_HOST=0.0.0.0 PROFILER_WEB_PORT=6066
EXPOSE 6066
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:6066/healthz', timeout=2)"]

STOPSIGNAL SIGTERM
ENTRYPOINT ["profiler"]
CMD ["--help"]
