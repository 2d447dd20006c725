"""pgAdmin by its own HTTP calls, as its page makes them."""

from __future__ import annotations

import http.cookiejar
import json
import re
import urllib.parse
import urllib.request
from typing import Any

TIMEOUT_S = 90


class PgAdmin:
    """A logged-in session.

    Raises:
        AssertionError: pgAdmin refuses the login.
    """

    def __init__(self, url: str, email: str, password: str) -> None:
        self._url = url
        jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._web = urllib.request.build_opener(urllib.request.ProxyHandler({}), jar)
        token = re.search(r'csrf_?[tT]oken["\']?\s*[:=]\s*\\?["\']([^"\'\\]+)', self._ask("/login"))
        assert token is not None, "no login page"
        form = {"email": email, "password": password, "csrf_token": token.group(1), "internal_button": "Login"}
        self._ask("/authenticate/login", urllib.parse.urlencode(form).encode())
        found = re.search(r"csrf_token'\] = '([^']+)'", self._ask("/browser/js/utils.js"))
        assert found is not None, "pgAdmin refuses the login"
        self._token = found.group(1)

    def connect_first_server(self) -> Any:
        """Connects to the first server, with the password that pgAdmin has for it, and returns its answer."""
        (server,) = self._call("/browser/server/obj/1/")
        return self._call(f"/browser/server/connect/1/{server['id']}", {})

    def _call(self, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        return json.loads(self._ask(path, data, {"X-pgA-CSRFToken": self._token, "Content-Type": "application/json"}))

    def _ask(self, path: str, data: bytes | None = None, headers: dict[str, str] | None = None) -> str:
        request = urllib.request.Request(self._url + path, data, headers or {})
        with self._web.open(request, timeout=TIMEOUT_S) as answer:
            return str(answer.read().decode())
