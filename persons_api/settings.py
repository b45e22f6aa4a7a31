"""All settings. Every store is reached by URL; an unset URL means the embedded one of `manage.py up`."""

from logging import getLevelNamesMapping
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from persons_api import env
from persons_api.logging import logging_settings

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(env.text("PERSONS_API_DATA_DIR", str(BASE_DIR / ".data"))).absolute()

DEBUG = env.boolean("DEBUG")
PRODUCTION = env.boolean("PERSONS_API_PRODUCTION")
SECRET_KEY = env.text("SECRET_KEY")
if not SECRET_KEY:
    if PRODUCTION:
        message = "SECRET_KEY (or SECRET_KEY_FILE) must be set when PERSONS_API_PRODUCTION is on"
        raise ImproperlyConfigured(message)
    SECRET_KEY = "persons-api-development-only-secret-key-not-for-production"  # noqa: S105 refused in production above

_embedded_urls = env.store_urls(DATA_DIR)
DATABASE_URL = env.text("DATABASE_URL") or _embedded_urls.get(
    "DATABASE_URL", f"postgresql://postgres@/persons_api?host={DATA_DIR}/run"
)
CLICKHOUSE_URL = env.text("CLICKHOUSE_URL") or _embedded_urls.get("CLICKHOUSE_URL", "http://127.0.0.1:1/persons_api")
# The user of HogQL statements, who may only read (docs/operations.md); the embedded ClickHouse has one of its own.
CLICKHOUSE_QUERY_URL = env.text("CLICKHOUSE_QUERY_URL") or (
    "" if env.text("CLICKHOUSE_URL") else _embedded_urls.get("CLICKHOUSE_QUERY_URL", "http://127.0.0.1:1/persons_api")
)
REDIS_URL = env.text("REDIS_URL") or _embedded_urls.get("REDIS_URL", "redis://127.0.0.1:1/0")
CLICKHOUSE_CLUSTER = env.text("CLICKHOUSE_CLUSTER")
CLICKHOUSE_QUERY_TIMEOUT_SECONDS = env.integer("CLICKHOUSE_QUERY_TIMEOUT_SECONDS", 30, minimum=1)

ALLOWED_HOSTS = env.words("ALLOWED_HOSTS", "*")
CSRF_TRUSTED_ORIGINS = env.words("CSRF_TRUSTED_ORIGINS")
if env.boolean("TRUST_FORWARDED_HEADERS"):
    USE_X_FORWARDED_HOST = True
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
TRUST_FORWARDED_HEADERS = env.boolean("TRUST_FORWARDED_HEADERS")

INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",  # its templates take the place of those of Django's admin, which follows
    "django.contrib.admin.apps.SimpleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "persons_api",
    "core",
]

MIDDLEWARE = [
    "persons_api.health.HealthMiddleware",
    "persons_api.middleware.RequestContextMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "persons_api.middleware.LazySessionMiddleware",
]

# Sessions, users and messages are there for the admin, inside of LazySessionMiddleware, where these do not look.
SILENCED_SYSTEM_CHECKS = ["admin.E408", "admin.E409", "admin.E410"]

ROOT_URLCONF = "persons_api.urls"
WSGI_APPLICATION = "persons_api.wsgi.application"
APPEND_SLASH = False
AUTH_USER_MODEL = "core.User"
LOGIN_URL = "/login/"
LOGIN_REDIRECT_URL = "/api/"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-us"
USE_I18N = False
DATETIME_FORMAT = "Y-m-d H:i:s"
STATIC_URL = "/static/"
WHITENOISE_USE_FINDERS = True
WHITENOISE_ROOT = BASE_DIR / "persons_api" / "public"  # what browsers and others look for at the root
WHITENOISE_AUTOREFRESH = False

DATABASES = {"default": env.postgres("DATABASE_URL", DATABASE_URL)}
DATABASES["default"]["OPTIONS"] = {
    **DATABASES["default"]["OPTIONS"],  # type: ignore[dict-item]  # the reader always returns a dict here
    "pool": {"min_size": 1, "max_size": env.integer("DATABASE_POOL_SIZE", 8, minimum=1), "timeout": 3},
}
# Hot statements are prepared (core.tenancy.statements); old connection poolers cannot do that.
if env.boolean("DATABASE_PREPARED_STATEMENTS", default=True):
    DATABASES["default"]["OPTIONS"]["prepare_threshold"] = 5  # type: ignore[index]  # the reader returns a dict here
DATABASES["default"]["CONN_HEALTH_CHECKS"] = False
DATABASES["default"]["DISABLE_SERVER_SIDE_CURSORS"] = True

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "persons_api" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# Seconds after signing in during which a session may do sensitive writes: keys, roles, members, the organization.
SESSION_SENSITIVE_ACTIONS_AGE = env.integer("SESSION_SENSITIVE_ACTIONS_AGE", 2 * 60 * 60, minimum=1)
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PRODUCTION
CSRF_COOKIE_NAME = "posthog_csrftoken"
SECURE_CONTENT_TYPE_NOSNIFF = True
X_FRAME_OPTIONS = "DENY"

UNFOLD = {
    "SITE_TITLE": "persons-api",
    "SITE_HEADER": "persons-api",
    "SITE_SYMBOL": "database",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": f"{STATIC_URL}browsable/icon.svg"}],
    "SHOW_HISTORY": False,
    "STYLES": [f"{STATIC_URL}operator/admin.css"],
    "SIDEBAR": {"navigation": "persons_api.admin.navigation.navigation"},
}

DATA_UPLOAD_MAX_MEMORY_SIZE = 20 * 1024 * 1024
CAPTURE_MAX_DECOMPRESSED_BYTES = env.integer("CAPTURE_MAX_DECOMPRESSED_BYTES", 64 * 1024 * 1024, minimum=1024)

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "core.access.auth.PersonalAPIKeyAuthentication",
        "core.access.auth.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["core.access.permissions.RoutePermission"],
    "DEFAULT_THROTTLE_CLASSES": ["core.access.throttles.RateLimitThrottle"],
    "DEFAULT_RENDERER_CLASSES": ["core.api.renderers.ORJSONRenderer", "core.api.renderers.BrowsableRenderer"],
    "DEFAULT_PARSER_CLASSES": [
        "core.api.parsers.ORJSONParser",
        "core.api.parsers.FormParser",
        "core.api.parsers.MultiPartParser",
    ],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "core.api.negotiation.FormatFirstNegotiation",
    "DEFAULT_PAGINATION_CLASS": "core.api.pagination.LimitOffsetPage",
    "DEFAULT_SCHEMA_CLASS": "core.api.openapi.RouteSchema",
    "EXCEPTION_HANDLER": "core.api.errors.exception_handler",
    "PAGE_SIZE": 100,
    "URL_FORMAT_OVERRIDE": "format",
    "UNAUTHENTICATED_USER": None,
}

# Requests of one personal API key (docs/rate_limits.md).
RATE_LIMIT_ENABLED = env.boolean("RATE_LIMIT_ENABLED", default=PRODUCTION)
RATE_LIMITS = {
    "burst": env.rate("RATE_LIMIT_BURST", "480/minute"),
    "sustained": env.rate("RATE_LIMIT_SUSTAINED", "4800/hour"),
    "clickhouse_burst": env.rate("RATE_LIMIT_CLICKHOUSE_BURST", "240/minute"),
    "clickhouse_sustained": env.rate("RATE_LIMIT_CLICKHOUSE_SUSTAINED", "1200/hour"),
    "hogql": env.rate("RATE_LIMIT_HOGQL", "120/hour"),
}
RATE_LIMITING_ALLOW_LIST_TEAMS = env.integers("RATE_LIMITING_ALLOW_LIST_TEAMS")

CELERY_BROKER_URL = REDIS_URL
WEB_REQUESTS_AT_ONCE = env.integer("WEB_REQUESTS_AT_ONCE", 2, minimum=1, maximum=64)
LIST_QUERY_TIMEOUT_SECONDS = env.integer("LIST_QUERY_TIMEOUT_SECONDS", 10, minimum=1)
INSIGHT_QUERY_TIMEOUT_SECONDS = env.integer("INSIGHT_QUERY_TIMEOUT_SECONDS", 60, minimum=1)
INSIGHT_MEMORY_MB = env.integer("INSIGHT_MEMORY_MB", 2048, minimum=64)
INSIGHT_CACHE_SECONDS = env.integer("INSIGHT_CACHE_SECONDS", 300, minimum=0)
# Queries (docs/hogql.md): seconds that ClickHouse may work on one, while the caller waits and in the background.
QUERY_TIMEOUT_SECONDS = env.integer("QUERY_TIMEOUT_SECONDS", 60, minimum=1)
QUERY_BACKGROUND_TIMEOUT_SECONDS = env.integer("QUERY_BACKGROUND_TIMEOUT_SECONDS", 600, minimum=1)
QUERY_MEMORY_MB = env.integer("QUERY_MEMORY_MB", 2048, minimum=64)
QUERY_MAX_RESULT_MB = env.integer("QUERY_MAX_RESULT_MB", 32, minimum=1, maximum=1024)
# How many queries of one project run at once, and for how long one more waits for its turn.
QUERY_CONCURRENCY_PER_PROJECT = env.integer("QUERY_CONCURRENCY_PER_PROJECT", 3, minimum=1)
QUERY_CONCURRENCY_WAIT_SECONDS = env.integer("QUERY_CONCURRENCY_WAIT_SECONDS", 10)
# For how long answers are kept, fresh or not; 0 keeps none.
QUERY_CACHE_SECONDS = env.integer("QUERY_CACHE_SECONDS", 7 * 24 * 60 * 60, minimum=0)
QUERY_LOG_RETENTION_DAYS = env.integer("QUERY_LOG_RETENTION_DAYS", 90, minimum=1, maximum=36_500)
EXPORTS_AT_ONCE = env.integer("EXPORTS_AT_ONCE", 2, minimum=1, maximum=64)
EXPORT_MAX_SECONDS = env.integer("EXPORT_MAX_SECONDS", 1800, minimum=1)
EXPORT_STALL_SECONDS = env.integer("EXPORT_STALL_SECONDS", 30, minimum=1)
OUTBOX_BATCH_ENTRIES = 2_000
OUTBOX_DRAIN_EVERY_SECONDS = env.integer("OUTBOX_DRAIN_EVERY_SECONDS", 5, minimum=1)
COHORTS_CALCULATE_EVERY_SECONDS = env.integer("COHORTS_CALCULATE_EVERY_SECONDS", 15, minimum=1)
COHORT_REFRESH_EVERY_SECONDS = env.integer("COHORT_REFRESH_EVERY_SECONDS", 900, minimum=10)

# Where the blobs of session recordings lie: "clickhouse", or "s3" for any store that speaks its protocol.
RECORDINGS_STORAGE = env.choice("RECORDINGS_STORAGE", "clickhouse", among=("clickhouse", "s3"))
# Days after which ClickHouse drops recordings; 0 keeps them.
RECORDINGS_RETENTION_DAYS = env.integer("RECORDINGS_RETENTION_DAYS", 0, maximum=36_500)
RECORDINGS_S3_BUCKET = env.text("RECORDINGS_S3_BUCKET")
RECORDINGS_S3_ENDPOINT_URL = env.text("RECORDINGS_S3_ENDPOINT_URL")
RECORDINGS_S3_REGION = env.text("RECORDINGS_S3_REGION")
RECORDINGS_S3_ACCESS_KEY = env.text("RECORDINGS_S3_ACCESS_KEY")
RECORDINGS_S3_SECRET_KEY = env.text("RECORDINGS_S3_SECRET_KEY")
if RECORDINGS_STORAGE == "s3" and not RECORDINGS_S3_BUCKET:
    message = "RECORDINGS_S3_BUCKET must be set when RECORDINGS_STORAGE is s3"
    raise ImproperlyConfigured(message)

# Fernet keys, comma-separated: the first encrypts, all decrypt. Without any, a key derived from SECRET_KEY does both.
ENCRYPTION_KEYS = env.fernet_keys("ENCRYPTION_KEYS")

# Networks that requests to addresses which users name may reach although they are private, such as 10.1.0.0/16.
OUTBOUND_ALLOWED_NETWORKS = env.networks("OUTBOUND_ALLOWED_NETWORKS")

# Dotted paths of the classes that carry out inline plugins (docs/plugins.md).
PLUGIN_HANDLERS = env.words("PLUGIN_HANDLERS", "core.plugins.handlers.webhook.WebhookHandler")
# Whether configs that are switched on must fit their plugin's config_schema.
PLUGIN_CONFIG_VALIDATION = env.boolean("PLUGIN_CONFIG_VALIDATION", default=True)
# Whether plugins may be fetched from GitHub, GitLab and npm, and the folder below which local ones may lie.
PLUGINS_FETCH = env.boolean("PLUGINS_FETCH")
PLUGINS_LOCAL_DIR = env.text("PLUGINS_LOCAL_DIR")
# The only hosts that plugins are fetched from.
PLUGINS_FETCH_ENDPOINTS = {
    "github": "https://api.github.com",
    "github_archives": "https://codeload.github.com",
    "gitlab": "https://gitlab.com/api/v4",
    "npm": "https://registry.npmjs.org",
}
# A command that compiles a frontend file of a plugin, from standard input to standard output.
PLUGIN_COMPILE_COMMAND = env.text("PLUGIN_COMPILE_COMMAND")
PLUGIN_LOG_RETENTION_DAYS = env.integer("PLUGIN_LOG_RETENTION_DAYS", 7, minimum=1, maximum=36_500)
PLUGIN_WORK_EVERY_SECONDS = env.integer("PLUGIN_WORK_EVERY_SECONDS", 5, minimum=1)
# The pause after the first failure of a delivery; each further one is twice as long, up to the longest.
PLUGIN_RETRY_SECONDS = env.decimal("PLUGIN_RETRY_SECONDS", 0.5, minimum=0.001)
PLUGIN_RETRY_LONGEST_SECONDS = env.integer("PLUGIN_RETRY_LONGEST_SECONDS", 900, minimum=1)
PLUGIN_RETRY_ATTEMPTS = env.integer("PLUGIN_RETRY_ATTEMPTS", 20, minimum=1)
# How many receivers that take their time may be waited for at once, so that the others need not.
PLUGIN_SLOW_AT_ONCE = env.integer("PLUGIN_SLOW_AT_ONCE", 3, minimum=1, maximum=64)
PLUGIN_DELIVERY_MAX_AGE_HOURS = env.integer("PLUGIN_DELIVERY_MAX_AGE_HOURS", 72, minimum=1)
PLUGIN_DEAD_LETTER_DAYS = env.integer("PLUGIN_DEAD_LETTER_DAYS", 30, minimum=1)

CLEAR_CLICKHOUSE_REMOVED_DATA_SCHEDULE_CRON = env.cron("CLEAR_CLICKHOUSE_REMOVED_DATA_SCHEDULE_CRON", "0 5 * * 0")

LOG_LEVEL = env.choice("LOG_LEVEL", "INFO", among=getLevelNamesMapping())
LOG_JSON = env.boolean("LOG_JSON", default=PRODUCTION)
LOGGING = logging_settings(level=LOG_LEVEL, as_json=LOG_JSON)

SPECTACULAR_SETTINGS = {
    "TITLE": "persons-api",
    "DESCRIPTION": "PostHog's Persons, Environments and Organizations REST API.",
    "VERSION": "1",
    "LICENSE": {"name": "MIT"},
    "OAS_VERSION": "3.0.3",
    "SCHEMA_PATH_PREFIX": "/api/",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "ENUM_NAME_OVERRIDES": {
        "ActionStepMatchingEnum": "core.actions.steps.MATCHINGS",
        "PluginLogEntrySourceEnum": "core.plugins.logs.services.LogSource",
        "PluginLogEntryTypeEnum": "core.plugins.logs.services.LogType",
    },
    "DISABLE_ERRORS_AND_WARNINGS": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "docExpansion": "none", "validatorUrl": None},
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "core.api.openapi.name_operations",
        "persons_api.openapi.add_plain_paths",
    ],
}
