"""django-oauth-toolkit with clients of the client credentials grant.

CLIENTS='{"client_id": "client_secret", ...}' python django_oauth_toolkit.py

It prints its endpoints as JSON once it listens, and exits when its stdin closes.
"""

import json
import os
import sys
import threading
from wsgiref.simple_server import WSGIRequestHandler, make_server

import django
from django.conf import settings
from django.urls import include, path

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "oauth2_provider"],
    LOGGING_CONFIG=None,
    OAUTH2_PROVIDER={"ACCESS_TOKEN_EXPIRE_SECONDS": 3599, "SCOPES": {"read": "Read"}},
    ROOT_URLCONF=__name__,
    SECRET_KEY="only for this test",
    USE_TZ=True,
)
django.setup()
urlpatterns = [path("o/", include("oauth2_provider.urls", namespace="oauth2_provider"))]


class QuietHandler(WSGIRequestHandler):
    """A request handler that logs nothing."""

    def log_message(self, *_arguments: object) -> None:
        """Print nothing."""


def main() -> None:
    from django.core.management import call_command
    from django.core.wsgi import get_wsgi_application
    from oauth2_provider.models import Application

    call_command("migrate", verbosity=0)
    for client_id, client_secret in json.loads(os.environ["CLIENTS"]).items():
        Application.objects.create(
            client_id=client_id,
            client_secret=client_secret,
            client_type=Application.CLIENT_CONFIDENTIAL,
            authorization_grant_type=Application.GRANT_CLIENT_CREDENTIALS,
            hash_client_secret=False,
        )
    # One thread, since the database is in its memory.
    server = make_server("127.0.0.1", 0, get_wsgi_application(), handler_class=QuietHandler)
    issuer = f"http://127.0.0.1:{server.server_port}/o"
    endpoints = {"token": "token", "revocation": "revoke_token", "introspection": "introspect"}
    print(json.dumps({name: f"{issuer}/{page}/" for name, page in endpoints.items()}), flush=True)

    def stop_with_stdin() -> None:
        sys.stdin.read()
        server.shutdown()

    threading.Thread(target=stop_with_stdin, daemon=True).start()
    server.serve_forever()


if __name__ == "__main__":
    main()
