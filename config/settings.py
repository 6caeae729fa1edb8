"""Every setting, read from the environment; `docs/guide/operating.md` explains each for operators."""

from pathlib import Path
from urllib.parse import urlsplit

from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from environs import Env, validate

env = Env()
ROOT = Path(__file__).resolve().parent.parent

# --- What an operator decides -----------------------------------------------------------------------------------------
SECRET_KEY = env.str("VOUCH_SECRET_KEY")  # no default: without a key the service refuses to start
# Fernet keys for what must be readable again, such as secrets of webhooks; else one is made from the secret key.
VOUCH_ENCRYPTION_KEYS: list[str] = env.list("VOUCH_ENCRYPTION_KEYS", [])
VOUCH_URL = env.str("VOUCH_URL", "http://127.0.0.1:8000").rstrip("/")
VOUCH_DATA = Path(env.str("VOUCH_DATA", str(ROOT / "data")))
VOUCH_ARTIFACTS = env.str("VOUCH_ARTIFACTS", "")  # a bucket, s3://…; empty: `artifacts` in VOUCH_DATA
VOUCH_CHECKPOINTS = env.str("VOUCH_CHECKPOINTS", "")  # empty: `checkpoints` in VOUCH_DATA
VOUCH_CHECKPOINT_KEY = env.str("VOUCH_CHECKPOINT_KEY", "")  # empty: `checkpoint.key` in VOUCH_DATA
VOUCH_MAX_FILE_BYTES = env.int("VOUCH_MAX_FILE_BYTES", 100 * 1024**3)
VOUCH_VERIFY_BYTES_PER_HOUR = env.int("VOUCH_VERIFY_BYTES_PER_HOUR", 10 * 1024**3)
VOUCH_ADMIN = env.bool("VOUCH_ADMIN", False)
# Cookies without `Secure`, no HSTS: for plain http on loopback only.
VOUCH_INSECURE_HTTP = env.bool("VOUCH_INSECURE_HTTP", False)
VOUCH_WAIT_PLACES = env.int("VOUCH_WAIT_PLACES", 4)
VOUCH_WAIT_PLACES_PER_TOKEN = env.int("VOUCH_WAIT_PLACES_PER_TOKEN", 2)
# Private networks in which receivers of webhooks may lie, and the ports elsewhere.
VOUCH_WEBHOOK_NETWORKS: list[str] = env.list("VOUCH_WEBHOOK_NETWORKS", [])
VOUCH_WEBHOOK_PORTS = env.list("VOUCH_WEBHOOK_PORTS", [443, 8443], subcast=int)
# Private networks in which the chats may lie that people name for their notifications.
VOUCH_CHAT_NETWORKS: list[str] = env.list("VOUCH_CHAT_NETWORKS", [])
VOUCH_KEEP_DELIVERIES_DAYS = env.int("VOUCH_KEEP_DELIVERIES_DAYS", 30)
# Mail: `smtp://user:password@host:587/?tls=True`; empty: none is sent.
VOUCH_EMAIL_URL = env.str("VOUCH_EMAIL_URL", "")
VOUCH_MAIL_FROM = env.str("VOUCH_MAIL_FROM", f"Vouch <vouch@{urlsplit(VOUCH_URL).hostname}>")
# To one person on one channel; what is beyond waits for the digest, which goes out at this hour of UTC.
VOUCH_MAILS_PER_DAY = env.int("VOUCH_MAILS_PER_DAY", 50)
VOUCH_DIGEST_HOUR = env.int("VOUCH_DIGEST_HOUR", 8, validate=validate.Range(0, 23))
# For runs of the clients' own tests, never for work: rules that the reference server has not are off, and any host is
# one to tell events to.
VOUCH_CONFORMANCE = env.bool("VOUCH_CONFORMANCE", False)
if VOUCH_CONFORMANCE:
    VOUCH_WEBHOOK_NETWORKS = ["0.0.0.0/0", "::/0"]
ALLOWED_HOSTS = env.list("VOUCH_ALLOWED_HOSTS", [urlsplit(VOUCH_URL).hostname or "127.0.0.1"])
CSRF_TRUSTED_ORIGINS = [VOUCH_URL]

DEBUG = False
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
APPEND_SLASH = False  # a redirect turns a client's POST into a bodyless GET
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-gb"
USE_I18N = False
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "accounts.User"

INSTALLED_APPS = [
    "accounts",
    "lineage",
    "registry",
    "web",
    "csp",
    "rest_framework",
    "django_filters",
    "django_htmx",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "config.apps.OperatorsConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
]

MIDDLEWARE = [
    "web.middleware.RequestId",
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "web.middleware.Sessions",
    "web.middleware.Csrf",
    "web.middleware.SignIn",
    "web.middleware.Messages",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "web.middleware.Worded",
]

# It looks for Django's own middleware by name; ours is a subclass.
SILENCED_SYSTEM_CHECKS = ["security.W003"]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [ROOT / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
            "builtins": ["django.templatetags.static", "web.ui.tags"],
        },
    }
]

# --- Database ---------------------------------------------------------------------------------------------------------
DATABASES = {"default": env.dj_db_url("DATABASE_URL", conn_max_age=None, conn_health_checks=True)}
DATABASES["default"].setdefault("OPTIONS", {}).update(
    {
        "server_side_binding": True,
        "prepare_threshold": 1,
        "options": " ".join(
            f"-c {name}={value}"
            for name, value in {
                "statement_timeout": env.str("VOUCH_STATEMENT_TIMEOUT", "5s"),
                "lock_timeout": env.str("VOUCH_LOCK_TIMEOUT", "3s"),
                "idle_in_transaction_session_timeout": "30s",
            }.items()
        ),
    }
)

# --- Cache and queue --------------------------------------------------------------------------------------------------
REDIS_URL = env.str("REDIS_URL")
CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}}
CELERY_BROKER_URL = REDIS_URL
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 300,
    "unacked_restore_interval": 10,
    "unacked_restore_throttle": 1,
    "socket_timeout": 5,
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "global_keyprefix": "vouch:",
}
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_TIME_LIMIT = 60
CELERY_TASK_SOFT_TIME_LIMIT = 45
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
# A process of its own sends webhooks: nothing long precedes them, and an operator can bound where it may connect.
CELERY_TASK_ROUTES = {
    f"registry.tasks.{task}": {"queue": "deliveries"}
    for task in ("deliver_due", "note_notifications", "send_notifications")
}
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BEAT_SCHEDULE = {
    # The guarantee of every delivery; what is sent at once comes by the shortcut of `registry.delivery.call_sender`.
    "deliver-due": {"task": "registry.tasks.deliver_due", "schedule": 5.0, "options": {"expires": 5}},
    "follow-log": {"task": "registry.tasks.follow_log", "schedule": 5.0, "options": {"expires": 5}},
    "prune-deliveries": {"task": "registry.tasks.prune_deliveries", "schedule": 3600.0, "options": {"expires": 3600}},
    "note-notifications": {"task": "registry.tasks.note_notifications", "schedule": 5.0, "options": {"expires": 5}},
    "send-notifications": {"task": "registry.tasks.send_notifications", "schedule": 5.0, "options": {"expires": 5}},
    "prune-notifications": {
        "task": "registry.tasks.prune_notifications",
        "schedule": 3600.0,
        "options": {"expires": 3600},
    },
    "expire-promotions": {"task": "registry.tasks.expire_promotions", "schedule": 60.0, "options": {"expires": 60}},
    "look-again": {"task": "registry.tasks.look_again_at_promotions", "schedule": 60.0, "options": {"expires": 60}},
    "announce-lapsed": {
        "task": "registry.tasks.announce_lapsed_promotions",
        "schedule": 600.0,
        "options": {"expires": 600},
    },
    "hold-to-policies": {
        "task": "registry.tasks.hold_promotions_to_policies",
        "schedule": 300.0,
        "options": {"expires": 300},
    },
    "sweep-incoming": {"task": "lineage.tasks.sweep_incoming", "schedule": 3600.0, "options": {"expires": 3600}},
    "take-in-uploads": {"task": "lineage.tasks.take_in_uploads", "schedule": 10.0, "options": {"expires": 10}},
    "inspect-new": {"task": "lineage.tasks.inspect_new", "schedule": 60.0, "options": {"expires": 60}},
    "verify-oldest": {"task": "lineage.tasks.verify_oldest", "schedule": 3600.0, "options": {"expires": 3600}},
    "audit-checkpoint": {"task": "accounts.tasks.checkpoint_audit", "schedule": 600.0, "options": {"expires": 600}},
    "prune-idempotency-keys": {"task": "accounts.tasks.prune_idempotency_keys", "schedule": 3600.0},
}

# --- Mail -------------------------------------------------------------------------------------------------------------
if VOUCH_EMAIL_URL:
    _mail = env.dj_email_url("VOUCH_EMAIL_URL")
    if "EMAIL_BACKEND" not in _mail:
        raise ImproperlyConfigured("VOUCH_EMAIL_URL has to begin with smtp:// or, for TLS on port 587, submission://")
    EMAIL_BACKEND, EMAIL_FILE_PATH = _mail["EMAIL_BACKEND"], _mail["EMAIL_FILE_PATH"]
    EMAIL_HOST, EMAIL_PORT = _mail["EMAIL_HOST"] or "localhost", _mail["EMAIL_PORT"] or 25
    EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = _mail["EMAIL_HOST_USER"] or "", _mail["EMAIL_HOST_PASSWORD"] or ""
    EMAIL_USE_TLS, EMAIL_USE_SSL = _mail["EMAIL_USE_TLS"], _mail["EMAIL_USE_SSL"]
EMAIL_TIMEOUT = 10  # seconds, for each step of talking to the mail server

# --- Sign-in and cookies ----------------------------------------------------------------------------------------------
LOGIN_URL = "/sign-in"
LOGIN_REDIRECT_URL = "/"
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
SESSION_COOKIE_AGE = 12 * 3600
# 12 hours of idling, not of life: `web.ui.desk` renews it with use, but not with each page, which would be a write.
SESSION_SAVE_EVERY_REQUEST = False
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = not VOUCH_INSECURE_HTTP
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_NAME = "vouch_session"
CSRF_COOKIE_NAME = "vouch_csrf"
CSRF_FAILURE_VIEW = "web.errors.csrf_failure"

# --- Headers ----------------------------------------------------------------------------------------------------------
SECURE_SSL_REDIRECT = not VOUCH_INSECURE_HTTP
SECURE_REDIRECT_EXEMPT = [r"^livez$", r"^readyz$", r"^health$"]
SECURE_HSTS_SECONDS = 0 if VOUCH_INSECURE_HTTP else 365 * 24 * 3600
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = not VOUCH_INSECURE_HTTP
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
if env.bool("VOUCH_BEHIND_TLS_PROXY", False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
    }
}

# --- Limits -----------------------------------------------------------------------------------------------------------
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 10_000  # clients repeat a key for each run of a chart
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.TemporaryFileUploadHandler"]

# --- Static files -----------------------------------------------------------------------------------------------------
STATIC_URL = "/static/"
STATIC_ROOT = Path(env.str("VOUCH_STATIC", str(ROOT / "static-build")))
STATICFILES_DIRS = [ROOT / "web" / "ui" / "assets"]
WHITENOISE_USE_FINDERS = env.bool("VOUCH_STATIC_FROM_SOURCE", False)
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if WHITENOISE_USE_FINDERS
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}

# --- The native API ---------------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["web.api.authentication.TokenAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["web.api.rendering.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["web.api.parsing.JSONParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "web.api.rendering.OneRenderer",
    "DEFAULT_SCHEMA_CLASS": "web.api.schema.Schema",
    "EXCEPTION_HANDLER": "web.api.errors.answer",
    "UNAUTHENTICATED_USER": None,
    "URL_FORMAT_OVERRIDE": None,
    "DEFAULT_THROTTLE_CLASSES": [],
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Vouch",
    "DESCRIPTION": "A model registry in which nothing reaches Production unless somebody vouched for it.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "validatorUrl": None},
    "POSTPROCESSING_HOOKS": [],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "COMPONENT_SPLIT_PATCH": False,
}

# --- Logs -------------------------------------------------------------------------------------------------------------
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "config.logs.formatter"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"handlers": ["stderr"], "level": env.str("VOUCH_LOG_LEVEL", "INFO")},
    "loggers": {
        "django.server": {"level": "WARNING"},
        "django": {"level": "INFO"},
        # Two lines for each task that went well, every few seconds, would bury what did not.
        "celery.worker.strategy": {"level": "WARNING"},
        "celery.app.trace": {"level": "WARNING"},
    },
}
