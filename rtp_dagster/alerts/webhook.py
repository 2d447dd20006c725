"""Sends a message to a webhook: Slack, Mattermost, Teams, or anything that takes JSON."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

from rtp_workers.errors import ConfigError, TransientError

TIMEOUT_S = 5.0
LONGEST = 3_000  # characters; Slack cuts at 4,000
# At the address of a workflow, Teams takes cards.
TEAMS = (".logic.azure.com", ".api.powerplatform.com", ".webhook.office.com")


def send(url: str, text: str) -> None:
    """Posts one message. The address is a secret: no message and no error contains it.

    Raises:
        ConfigError: the address is not valid, or the endpoint refuses the message for good.
        TransientError: the endpoint does not answer, or is busy; the message may be sent again.
    """
    host = _host(url)
    body = json.dumps(payload(host, text[:LONGEST])).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json", "User-Agent": "rtp"})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S):
            return
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in (408, 425, 429) or error.code >= 500:
            raise TransientError(f"the webhook at {host} answers {error.code}; the message is sent again") from None
        raise ConfigError(
            f"the webhook at {host} refuses the message with {error.code}; check RTP_ALERT_WEBHOOK_URL"
        ) from None
    except (OSError, ValueError) as error:
        raise TransientError(
            f"the webhook at {host} does not answer ({type(error).__name__}); the message is sent again"
        ) from None


def payload(host: str, text: str) -> dict[str, Any]:
    """Returns the JSON of a message: a card for Teams, ``{"text": ...}`` for everybody else."""
    if not host.endswith(TEAMS):
        return {"text": text}
    card = {
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [{"type": "TextBlock", "text": line, "wrap": True} for line in text.splitlines()],
    }
    return {
        "type": "message",
        "attachments": [{"contentType": "application/vnd.microsoft.card.adaptive", "content": card}],
    }


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, scheme = parts.hostname or "", parts.scheme
    except ValueError:
        host = scheme = ""
    if scheme not in ("http", "https") or not host:
        raise ConfigError("RTP_ALERT_WEBHOOK_URL is not an http or https address; copy it from the chat's settings")
    return host
