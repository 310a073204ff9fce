"""Everything that differs between places comes from the environment."""

import os
from urllib.parse import unquote, urlsplit

# postgres://USER:PASSWORD@HOST:PORT/DATABASE, the very text that bellwether takes as its --store.
_url = urlsplit(os.environ["DATABASE_URL"])

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _url.path.lstrip("/"),
        "USER": unquote(_url.username or ""),
        "PASSWORD": unquote(_url.password or ""),
        "HOST": _url.hostname or "",
        "PORT": _url.port or "",
    }
}

INSTALLED_APPS = ["accounts"]
SECRET_KEY = os.environ.get("SECRET_KEY", "only for this example")
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
