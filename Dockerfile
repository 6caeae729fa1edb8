# One image, four processes and the migration: deploy/entrypoint.sh web | worker | sender | beat | migrate.
FROM python:3.11-slim AS build
WORKDIR /app
RUN python -m venv /venv
COPY deploy/requirements.lock deploy/requirements.lock
# The lock is complete, so nothing is resolved; a wheel whose hash is not in it, and any source package, is refused.
RUN /venv/bin/pip install --no-cache-dir --no-deps --only-binary :all: --require-hashes -r deploy/requirements.lock
COPY . .
# The settings ask for these; collecting the static files contacts and signs nothing.
RUN DATABASE_URL=postgresql:///none REDIS_URL=redis://none VOUCH_SECRET_KEY=none \
    /venv/bin/python manage.py collectstatic --noinput --verbosity 0 \
    && /venv/bin/python -m compileall -q /app \
    && /venv/bin/pip uninstall --yes --quiet pip setuptools

FROM python:3.11-slim
COPY --from=build /venv /venv
COPY --from=build /app /app
# A named volume takes over the owner of the directory that it covers.
RUN install --directory --owner=10001 --group=10001 --mode=0700 /data
ENV PATH=/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    VOUCH_DATA=/data \
    VOUCH_HOST=0.0.0.0
WORKDIR /app
USER 10001:10001
EXPOSE 8000
# For the web process; compose.yml and the orchestrator of a cluster bring their own for the other two.
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s CMD ["python", "-c", \
    "import os, urllib.request; urllib.request.urlopen(f\"http://127.0.0.1:{os.environ.get('VOUCH_PORT', 8000)}/livez\", timeout=4)"]
ENTRYPOINT ["/app/deploy/entrypoint.sh"]
CMD ["web"]
