#!/bin/sh
# The processes of Vouch, as the image and `bootstrap.py up` start them.
set -eu

usage() {
    cat >&2 <<'TEXT'
usage: entrypoint.sh COMMAND

web        answer requests (VOUCH_HOST, VOUCH_PORT, VOUCH_WEB_WORKERS, VOUCH_WEB_THREADS)
worker     carry out queued work (VOUCH_WORKER_PROCESSES, VOUCH_WORKER_NAME); as many of them as you like
sender     send webhooks (VOUCH_WORKER_NAME); as many of them as you like
beat       queue what is due by the clock (VOUCH_BEAT_SCHEDULE); one of them
migrate    bring the database to the schema of this version, then end
manage     Django's command line: manage audit verify
TEXT
    exit 64
}

cd -- "$(dirname -- "$0")/.."
python="${VOUCH_PYTHON:-python}"
celery() {
    exec "$python" -m celery -A config.celery "$@"
}

case "${1-}" in
web)
    exec "$python" -m granian config.wsgi:application --interface wsgi --http 1 --no-ws \
        --host "${VOUCH_HOST:-127.0.0.1}" --port "${VOUCH_PORT:-8000}" \
        --workers "${VOUCH_WEB_WORKERS:-2}" --blocking-threads "${VOUCH_WEB_THREADS:-6}" --backpressure 512 \
        --respawn-failed-workers --workers-kill-timeout 4
    ;;
worker)
    # Processes, not threads: only they can be ended by the time limits of a task.
    celery worker --pool prefork --concurrency "${VOUCH_WORKER_PROCESSES:-2}" \
        --hostname "vouch@${VOUCH_WORKER_NAME:-%h}" --loglevel INFO
    ;;
sender)
    # Threads: they look at the database and record; what is open at a time is in one loop beside them.
    celery worker --queues deliveries --pool threads --concurrency 4 \
        --hostname "sender@${VOUCH_WORKER_NAME:-%h}" --loglevel INFO
    ;;
beat)
    celery beat --schedule "${VOUCH_BEAT_SCHEDULE:-/tmp/beat.schedule}" --pidfile= --loglevel INFO
    ;;
migrate)
    # A large table may take its time; waiting for a lock may not, since everybody else would wait behind it.
    VOUCH_STATEMENT_TIMEOUT=0
    export VOUCH_STATEMENT_TIMEOUT
    exec "$python" manage.py migrate --noinput
    ;;
manage)
    shift
    exec "$python" manage.py "$@"
    ;;
*)
    usage
    ;;
esac
