"""Sends a message to a webhook: Slack, Mattermost, Teams, or anything that takes JSON."""

from __future__ import annotations

import html
import json
import urllib.error
import urllib.request
from http.client import HTTPException, InvalidURL
from typing import Any
from urllib.parse import urlsplit

from rtp_workers.errors import ConfigError, RtpError, TransientError
from rtp_workers.reconcile.status import ask_all

TIMEOUT_S = 5.0  # for each part of the answer
ANSWER_S = 10.0  # for the whole answer: an endpoint may send a byte every four seconds
LONGEST = 3_000  # characters; Slack cuts at 4,000
SLACK = (".slack.com", ".slack-gov.com")
NO_ADDRESS = "RTP_ALERT_WEBHOOK_URL is not an http or https address; copy it from the chat's settings"
# At the address of a workflow, Teams takes cards.
TEAMS = (".logic.azure.com", ".api.powerplatform.com", ".webhook.office.com")


def send(url: str, text: str) -> None:
    """Posts one message. The address is a secret: no message and no error contains it.

    Raises:
        ConfigError: the address is not valid, or the endpoint refuses the message for good, or redirects.
        RtpError: the endpoint does not answer, or is busy; the message may be sent again.
    """
    url = url.strip()
    host = _host(url)
    what = f"the webhook at {host}"
    answer = ask_all({what: lambda: _post(url, host, what, text)}, ANSWER_S)[what]
    if isinstance(answer, RtpError):
        raise answer


def _post(url: str, host: str, what: str, text: str) -> None:
    body = json.dumps(payload(host, text[:LONGEST])).encode()
    try:
        request = urllib.request.Request(url, body, {"Content-Type": "application/json", "User-Agent": "rtp"})
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=TIMEOUT_S):
            return
    except urllib.error.HTTPError as error:
        error.close()
        raise _refusal(what, error.code) from None
    except (InvalidURL, ValueError):
        raise ConfigError(NO_ADDRESS) from None  # Python's message would show the address
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise TransientError(
            f"{what} does not answer ({type(reason).__name__}: {reason}); the message is sent again"
        ) from None


def _refusal(what: str, code: int) -> RtpError:
    if code in (408, 425, 429) or code >= 500:
        return TransientError(f"{what} answers {code}; the message is sent again")
    if 300 <= code < 400:
        return ConfigError(
            f"{what} answers {code}, which points to another address; set RTP_ALERT_WEBHOOK_URL to that one"
        )
    return ConfigError(f"{what} refuses the message with {code}; check RTP_ALERT_WEBHOOK_URL")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Makes a redirect an error: Python would follow it with a GET, and the message would be lost."""

    def redirect_request(self, *_: object) -> None:
        """Follows nothing."""


def payload(host: str, text: str) -> dict[str, Any]:
    """Returns the JSON of a message: a card for Teams, ``{"text": ...}`` for everybody else."""
    if host.endswith(SLACK):
        return {"text": html.escape(text, quote=False)}  # otherwise a file named <!channel>.csv would notify everybody
    if not host.endswith(TEAMS):
        return {"text": text}
    card = {
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [{"type": "TextBlock", "text": _linked(line), "wrap": True} for line in text.splitlines()],
    }
    return {
        "type": "message",
        "attachments": [{"contentType": "application/vnd.microsoft.card.adaptive", "content": card}],
    }


def _linked(line: str) -> str:
    """Returns a line for Teams, which makes no link of a bare address."""
    return f"[{line}]({line})" if line.startswith(("http://", "https://")) else line


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, scheme = parts.hostname or "", parts.scheme
    except ValueError:
        host = scheme = ""
    if scheme not in ("http", "https") or not host:
        raise ConfigError(NO_ADDRESS)
    return host
