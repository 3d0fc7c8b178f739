# One image for every process: the command chooses api, worker or migrate. It carries no PostgreSQL and no Valkey;
# BREAKWATER_DATABASE_URL and BREAKWATER_REDIS_URL say where they are (deploy/compose.yaml shows a whole service).
#
# It listens on every address, so its API starts with BREAKWATER_AUTH=keys, or BREAKWATER_INSECURE=true.
#
# `docker buildx imagetools inspect python:3.13-slim` shows the digest of the base image's present state (here 3.13.15).

FROM python:3.13-slim@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1
WORKDIR /build
RUN python -m venv /opt/breakwater
# The locked libraries first: they change less often than our code, so their layer is kept.
COPY requirements/prod.lock requirements/prod.lock
RUN /opt/breakwater/bin/pip install --require-hashes --no-deps --only-binary :all: -r requirements/prod.lock
COPY pyproject.toml README.md LICENSE ./
COPY api api
COPY broker broker
COPY cli cli
COPY configuration configuration
COPY db db
COPY domain domain
COPY launcher launcher
COPY runtime runtime
COPY sources sources
COPY submissions submissions
COPY worker worker
# Nothing from outside the lock: neither a library that it lacks (then `pip check` fails) nor a build tool.
RUN /opt/breakwater/bin/pip install --no-deps --no-build-isolation . \
    && /opt/breakwater/bin/pip check \
    && /opt/breakwater/bin/breakwater --help > /dev/null \
    && /opt/breakwater/bin/pip uninstall --yes setuptools pip

FROM python:3.13-slim@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b
RUN useradd --system --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin breakwater
COPY --from=build /opt/breakwater /opt/breakwater
ENV PATH=/opt/breakwater/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    BREAKWATER_HOST=0.0.0.0
# By number, so that a cluster can see that it isn't root.
USER 10001:10001
WORKDIR /
EXPOSE 8000
# For the api; a worker has no port and switches it off.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ.get('BREAKWATER_PORT', '8000') + '/livez', timeout=2)"]
ENTRYPOINT ["breakwater"]
CMD ["api"]
