"""Settings, read from the environment (and `.env`). docs/settings.md lists every variable.

One rule decides between trying out and production: SITE_URL. An https address switches on all
that a public site needs (secure cookies, HSTS, redirects); `manage.py check` refuses the rest.
"""

import os
import secrets
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
from csp.constants import NONE, SELF, UNSAFE_EVAL, UNSAFE_INLINE
from django.templatetags.static import static

from billing_site.environment import (
    read_address,
    read_bool,
    read_database,
    read_email,
    read_limits,
    read_path,
)

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = BASE_DIR / "var"

env = environ.Env()
environ.Env.read_env(BASE_DIR / ".env")


def local_secret_key() -> str:
    """A random key kept in var/, so that trying the site needs no configuration.

    Two processes that start at once agree on one: it appears whole, and the first one stays.
    """
    path = VAR_DIR / "secret_key"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(f".{os.getpid()}")
        new.touch(mode=0o600)
        new.write_text(secrets.token_urlsafe(50))
        with suppress(FileExistsError):
            os.link(new, path)
        new.unlink()
    return path.read_text()


DEBUG = read_bool(env, "DEBUG", default=False)
SECRET_KEY = env.str("SECRET_KEY", default="") or local_secret_key()
SECRET_KEY_IS_LOCAL = not env.str("SECRET_KEY", default="")
SITE_URL = read_address(env, "SITE_URL").rstrip("/") or "http://127.0.0.1:8000"
ALLOWED_HOSTS = env.list(
    "ALLOWED_HOSTS", default=["127.0.0.1", "localhost", urlsplit(SITE_URL).hostname or "localhost"]
)
IS_PUBLIC = SITE_URL.startswith("https://")

# Databases ---------------------------------------------------------------------------------------

EMBEDDED_POSTGRES: dict[str, Any] = {
    "ENGINE": "billing_site.embedded_postgres.backend",
    "NAME": "billing_site",
    "DIRECTORY": VAR_DIR / "postgres",
}
DATABASE_URL = env.str("DATABASE_URL", default="")
_database: dict[str, Any] = read_database(env, DATABASE_URL) if DATABASE_URL else EMBEDDED_POSTGRES
DATABASES = {"default": _database}
DATABASE_ENGINE = _database["ENGINE"].rsplit(".", 1)[-1]
USES_POSTGRES = DATABASE_ENGINE in {"backend", "postgresql", "psycopg"}
_database["CONN_MAX_AGE"] = None  # a connection per request costs three quarters of the throughput
_database["CONN_HEALTH_CHECKS"] = True
if USES_POSTGRES:
    _database.setdefault("OPTIONS", {}).update(
        # Prepared from the fifth time on: a third less of the database's CPU per request.
        server_side_binding=True,
        prepare_threshold=5,
        options="-c lock_timeout=5s -c idle_in_transaction_session_timeout=15s",
        connect_timeout=10,
    )
elif DATABASE_ENGINE == "mysql":
    import pymysql

    pymysql.install_as_MySQLdb()
    # Under REPEATABLE READ a sum read after the lock still sees the old snapshot.
    _database.setdefault("OPTIONS", {}).update(
        charset="utf8mb4",
        isolation_level="read committed",
        init_command="SET innodb_lock_wait_timeout=5",
    )
elif DATABASE_ENGINE == "sqlite3":
    # SQLite ignores SELECT FOR UPDATE; taking the write lock at BEGIN is what locks here.
    _database.setdefault("OPTIONS", {}).update(
        transaction_mode="IMMEDIATE",
        timeout=20,
        # With recursive triggers INSERT OR REPLACE cannot slip past the ledger's triggers.
        init_command=(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA recursive_triggers=ON;"
        ),
    )
    _database["TEST"] = {"NAME": VAR_DIR / "test.sqlite3"}
SILENCED_SYSTEM_CHECKS = [
    "models.W037",  # MariaDB without the indexes on what is open: only slower
    "djstripe.W002",  # STRIPE_API_BASE elsewhere than at Stripe: billing_site.E004 guards live keys
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# In the database, so that all processes count attempts together: only limits of sign-in are kept
# here, a few rows per attempt.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "billing_site_cache",
        "OPTIONS": {"MAX_ENTRIES": 100_000},
    }
}

# Applications ------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "axes",
    "csp",
    "django_htmx",
    "djstripe",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "rest_framework",
    "billing_site.accounts",
    "billing_site.embedded_postgres",
    "billing_site.sandbox",
    "credits",
    "generation",
    "billing_site",
]
if USES_POSTGRES:
    # Its tables exist for PostgreSQL only. Before generation, which takes its admin page down.
    INSTALLED_APPS.insert(INSTALLED_APPS.index("generation"), "procrastinate.contrib.django")
    PROCRASTINATE_IMPORT_PATHS = ["generation.tasks"]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "billing_site.csp.PolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "billing_site.accounts.middleware.StaffSafety",
    "billing_site.accounts.middleware.OwnTimeZone",
    "django_htmx.middleware.HtmxMiddleware",
    "axes.middleware.AxesMiddleware",
]
ROOT_URLCONF = "billing_site.urls"
WSGI_APPLICATION = "billing_site.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "credits.context.billing",
            ]
        },
    }
]

# People ------------------------------------------------------------------------------------------

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",  # refuses who is locked out; signs nobody in
    "allauth.account.auth_backends.AuthenticationBackend",
]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
ACCOUNT_ADAPTER = "billing_site.accounts.adapter.AccountAdapter"
ACCOUNT_FORMS = {
    "login": "billing_site.accounts.forms.LoginForm",
    "change_password": "billing_site.accounts.forms.ChangePasswordForm",
    "reset_password_from_key": "billing_site.accounts.forms.NewPasswordForm",
}
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_EMAIL_VERIFICATION_BY_CODE_ENABLED = True
ACCOUNT_CHANGE_EMAIL = True  # one address, which is replaced when the new one is confirmed
ACCOUNT_EMAIL_NOTIFICATIONS = True  # "your password was changed", to the owner
# Here a limit over all addresses of the network; the lock-out below is the narrower one.
ACCOUNT_RATE_LIMITS = {"login_failed": "30/m/ip,30/5m/key"}
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "dashboard"
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
# Limits per address count the customer's, not the proxy's: else one attacker locks out everybody.
ALLAUTH_TRUSTED_PROXY_COUNT = 1 if IS_PUBLIC else 0

MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TOTP_ISSUER = urlsplit(SITE_URL).hostname
MFA_TOTP_TOLERANCE = 1  # a phone whose clock is half a minute off (RFC 6238, 5.2)

# Whoever guesses one person's password from one address is locked out of that person's account
# there; the person, and everybody else behind that address, is not.
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # the way out comes after 15 minutes
AXES_CLIENT_IP_CALLABLE = "billing_site.accounts.lockout.client_address"
AXES_USERNAME_CALLABLE = "billing_site.accounts.lockout.email_tried"
AXES_LOCKOUT_TEMPLATE = "accounts/locked_out.html"
AXES_DISABLE_ACCESS_LOG = True  # who signed in from where is nobody's business
AXES_ENABLE_ADMIN = True  # failed attempts; deleting them lets somebody in again
AXES_VERBOSE = False

ADMIN_PATH = read_path(env, "ADMIN_PATH", default="admin/")
STAFF_SESSION = timedelta(hours=1)  # then staff signs in again, however busy they were
STAFF_NEEDS_SECOND_FACTOR = IS_PUBLIC

EMAIL_URL = env.str("EMAIL_URL", default="consolemail://")  # printed to the terminal
EMAIL_TIMEOUT = 20  # seconds; Django would wait for ever
vars().update(read_email(env, EMAIL_URL))
STAFF_EMAILS = env.list("STAFF_EMAILS", default=[])
MANAGERS = [("Staff", address) for address in STAFF_EMAILS]  # told when billing needs a person
DEFAULT_FROM_EMAIL = f"billing@{urlsplit(SITE_URL).hostname}"

UNFOLD = {
    "SITE_TITLE": "Credits",
    "SITE_HEADER": "Credits, for staff",
    "DASHBOARD_CALLBACK": "billing_site.console.front_page.add_figures",
    "STYLES": [lambda request: static("admin.css")],
    "SCRIPTS": [lambda request: static("admin.js")],
    "SIDEBAR": {"navigation": "billing_site.console.menu.menu"},
}

# Language, time, files ---------------------------------------------------------------------------

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English")]
FORMAT_MODULE_PATH = "billing_site.formats"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "static/"
STATIC_ROOT = VAR_DIR / "static"  # filled by collectstatic on a public site
STATIC_ROOT.mkdir(parents=True, exist_ok=True)
STATICFILES_DIRS = [BASE_DIR / "billing_site" / "static"]
WHITENOISE_USE_FINDERS = not IS_PUBLIC  # trying out needs no collectstatic
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if IS_PUBLIC
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}

# Stripe ------------------------------------------------------------------------------------------

STRIPE_SECRET_KEY = env.str("STRIPE_SECRET_KEY", default="")
STRIPE_WEBHOOK_SECRET = env.list("STRIPE_WEBHOOK_SECRET", default=[])
STRIPE_API_BASE = read_address(env, "STRIPE_API_BASE")
STRIPE_AUTOMATIC_TAX = read_bool(env, "STRIPE_AUTOMATIC_TAX", default=False)
# Where Checkout and the customer portal live; forms may lead there.
STRIPE_PAGES = (
    [STRIPE_API_BASE]
    if STRIPE_API_BASE
    else ["https://checkout.stripe.com", "https://billing.stripe.com"]
)
STRIPE_LIVE_MODE = STRIPE_SECRET_KEY.startswith(("sk_live_", "rk_live_"))
# dj-stripe checks the shape of a key at start, also where the site sells nothing yet.
_djstripe_key = STRIPE_SECRET_KEY or "sk_test_" + "0" * 24
STRIPE_LIVE_SECRET_KEY = _djstripe_key if STRIPE_LIVE_MODE else ""
STRIPE_TEST_SECRET_KEY = "" if STRIPE_LIVE_MODE else _djstripe_key
# The shape in which dj-stripe's objects are fetched: an upgrade of the library does not change it.
STRIPE_API_VERSION = "2026-08-26.dahlia"
if STRIPE_API_BASE:
    STRIPE_API_HOST = STRIPE_API_BASE.rstrip("/")
DJSTRIPE_FOREIGN_KEY_TO_FIELD = "id"
# dj-stripe's own migrations need 40 s of CPU; ours, generated from the same models, a moment.
MIGRATION_MODULES = {"djstripe": "credits.payments.djstripe_migrations"}

# Security ----------------------------------------------------------------------------------------

SESSION_COOKIE_AGE = 12 * 3600
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = IS_PUBLIC
CSRF_TRUSTED_ORIGINS = [SITE_URL]
SECURE_HSTS_SECONDS = 31_536_000 if IS_PUBLIC else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = IS_PUBLIC
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]  # probes speak plain http to the machine
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if IS_PUBLIC else None
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 256 * 1024
# unfold's Alpine evaluates expressions and sets style attributes; our own pages do neither.
ADMIN_POLICY = {"script-src": [SELF, UNSAFE_EVAL], "style-src": [SELF, UNSAFE_INLINE]}
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF, *STRIPE_PAGES],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    },
}

# API ---------------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "billing_site.accounts.authentication.ApiKeyAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_PARSER_CLASSES": ["credits.requests.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PAGINATION_CLASS": "credits.requests.CursorPages",
    "DEFAULT_THROTTLE_CLASSES": ["billing_site.throttles.UserRate"],
    "DEFAULT_METADATA_CLASS": None,  # OPTIONS: the schema says it better
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "credits.problems.problem_response",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "billing_site API",
    "DESCRIPTION": "Balances, ledger and generations. Errors are RFC 9457 problem documents.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}

# Credits -----------------------------------------------------------------------------------------

# A renewal's payment arrives after the period has turned; the old credits live that much longer.
SUBSCRIPTION_GRACE = timedelta(days=3)
# What one person of a group may adjust alone within a day, in credits (credits.staff).
ADJUSTMENT_LIMITS = read_limits(env, "ADJUSTMENT_LIMITS", default="Support=100,Billing=100")
PROMOTIONAL_DAYS = 30  # life of goodwill credits that nobody gave another date

# Generation --------------------------------------------------------------------------------------

GENERATION_BASE_URL = read_address(env, "GENERATION_BASE_URL")  # empty: the local model
GENERATION_API_KEY = env.str("GENERATION_API_KEY", default="")
GENERATION_MODEL = env.str("GENERATION_MODEL", default="")  # empty: the first that the API lists

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {name: {"level": "INFO"} for name in ("billing_site", "credits", "generation")},
}
