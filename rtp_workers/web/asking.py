"""Requests to our own parts over HTTP: never through a proxy, whatever http_proxy and similar variables say."""

from __future__ import annotations

import urllib.error
import urllib.request
from dataclasses import dataclass

from pydantic import SecretStr

MAX_ANSWER_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a part, good or bad."""

    status: int
    body: bytes

    @property
    def ok(self) -> bool:
        """Whether the status says success."""
        return self.status < 400


def ask(url: str, timeout_s: float, token: SecretStr | None = None) -> Answer:
    """Returns the answer of one of our parts at `url`. The token goes only to that address, not to where it redirects.

    Raises:
        OSError: there is no answer within `timeout_s`; the text says why.
    """
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        request = urllib.request.Request(url)
        if token is not None:
            request.add_unredirected_header("Authorization", f"Bearer {token.get_secret_value()}")
        with opener.open(request, timeout=timeout_s) as response:
            return Answer(int(response.status), response.read(MAX_ANSWER_BYTES))
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.read(MAX_ANSWER_BYTES))
    except urllib.error.URLError as error:
        raise OSError(str(error.reason)) from error
    except ValueError as error:
        raise OSError(f"{url} is not a URL ({error})") from error
