"""Decides what deserves a message now, and builds the messages. Pure functions. Each cause is reported once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

REPEAT_S = 3600.0
TOGETHER = 5  # if one tick finds more new causes than this, they share one message
REMEMBERED = 400  # more than one tick finds; otherwise those left out would be reported at every tick


@dataclass(frozen=True, slots=True)
class Cause:
    """Something that is wrong.

    Attributes:
        key: identifies the cause while it lasts, e.g. ``check transactions:lag_is_low``.
        text: what happened and what to do, as a person reads it.
        link: the page that shows more.
        recovers: True if its end deserves a message too.
        since_s: for a cause that does not recover: Unix time at which it last happened. It is reported again if it
            happens more than an hour after the last message.
    """

    key: str
    text: str
    link: str
    recovers: bool = True
    since_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Message:
    """One message.

    Attributes:
        text: what to send; empty if nothing is to be sent.
        told: the causes that count as reported once it is sent, by digest of the key.
        over: digests of the causes that have ended.
    """

    text: str
    told: Mapping[str, Told] = field(default_factory=dict)
    over: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Told:
    """A cause that was reported.

    Attributes:
        at_s: Unix time of the last message about it.
        title: its name in the message about its end; empty if its end is not reported.
        link: the page that shows more.
    """

    at_s: float
    title: str = ""
    link: str = ""


def messages(
    causes: Sequence[Cause], told: Mapping[str, Told], now_s: float, unknown: str | None = None
) -> list[Message]:
    """Returns what to send now: new causes, causes that still last an hour after their report, and ended ones.

    Args:
        causes: everything that is wrong now. A cause that never ends (a failed run) must be passed for as long as
            it is to be remembered.
        told: the causes reported so far, by `digest` of the key.
        now_s: Unix time.
        unknown: beginnings of the keys of causes that could not be checked this time. Those have not ended.
    """
    due = [cause for cause in causes if _is_due(cause, told.get(digest(cause.key)), now_s)]
    found = [_together(due, now_s)] if len(due) > TOGETHER else [_alone(cause, told, now_s) for cause in due]
    lasting = {digest(cause.key) for cause in causes}
    lasting |= {key for key, known in told.items() if unknown is not None and known.title.startswith(unknown)}
    return found + _ended({key: known for key, known in told.items() if key not in lasting})


def _ended(over: Mapping[str, Told]) -> list[Message]:
    named = {key: known for key, known in over.items() if known.title}
    silent = [Message("", over=(key,)) for key in over if key not in named]
    if len(named) <= TOGETHER:
        return [*silent, *(Message(_recovered(known), over=(key,)) for key, known in named.items())]
    titles = [known.title for known in named.values()]
    lines = [f"- {title}" for title in titles[:TOGETHER]]
    text = "\n".join([f"{len(titles)} things have recovered:", *lines, f"and {len(titles) - TOGETHER} more"])
    return [*silent, Message(text, over=tuple(named))]


def _recovered(known: Told) -> str:
    return f"Recovered: {known.title}" + (f"\n{known.link}" if known.link else "")


def after(told: Mapping[str, Told], sent: Sequence[Message]) -> dict[str, Told]:
    """Returns the causes that are reported once these messages are sent."""
    known = dict(told)
    for message in sent:
        known.update(message.told)
        for key in message.over:
            known.pop(key, None)
    newest = sorted(known.items(), key=lambda item: item[1].at_s)[-REMEMBERED:]
    return dict(newest)


def digest(key: str) -> str:
    """Returns a short name for a cause's key."""
    return hashlib.blake2b(key.encode("utf-8", "backslashreplace"), digest_size=6).hexdigest()


def read_told(stored: Any) -> dict[str, Told]:
    """Returns the reported causes that an earlier tick stored as `{digest: [at_s, title, link]}`."""
    try:
        return {str(key): Told(float(at_s), *map(str, texts)) for key, (at_s, *texts) in stored.items()}
    except (AttributeError, TypeError, ValueError):
        return {}


def _is_due(cause: Cause, known: Told | None, now_s: float) -> bool:
    if known is None:
        return True
    return now_s - known.at_s >= REPEAT_S and (cause.recovers or cause.since_s > known.at_s)


def _alone(cause: Cause, told: Mapping[str, Told], now_s: float) -> Message:
    again = "Still: " if cause.recovers and digest(cause.key) in told else ""
    return Message(f"{again}{cause.text}\n{cause.link}", {digest(cause.key): _told(cause, now_s)})


def _together(due: Sequence[Cause], now_s: float) -> Message:
    lines = [f"- {cause.text}" for cause in due[:TOGETHER]]
    text = "\n".join([f"{len(due)} things need attention:", *lines, f"and {len(due) - TOGETHER} more", due[0].link])
    return Message(text, {digest(cause.key): _told(cause, now_s) for cause in due})


def _told(cause: Cause, now_s: float) -> Told:
    return Told(round(now_s, 1), cause.key, cause.link) if cause.recovers else Told(round(now_s, 1))
