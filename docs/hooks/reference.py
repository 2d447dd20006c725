"""MkDocs hook: the reference pages, written from the code when the site is built."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any, cast

import click
from mkdocs.structure.files import File
from prometheus_client.registry import Collector

from rtp_workers.cli.main import rtp
from rtp_workers.consumer.api import Service
from rtp_workers.consumer.api import build_api as consumer_api
from rtp_workers.consumer.metrics import ConsumerMetrics
from rtp_workers.consumer.state import ConsumerState
from rtp_workers.consumer.watching import Watcher as ConsumerWatcher
from rtp_workers.endpoints import Endpoints
from rtp_workers.generator.chaos import Chaos, Counts
from rtp_workers.producer.api import build_api as producer_api
from rtp_workers.producer.watching import Parts, ProducerMetrics
from rtp_workers.producer.watching import Watcher as ProducerWatcher
from rtp_workers.record.transaction import FIELDS, Rule
from rtp_workers.settings import PREFIX, SETTINGS, ConsumerSettings, PlatformSettings
from rtp_workers.web.guard import GuardRules

OF_EVERY_PROGRAM = "every program"


def on_files(files: Any, config: Any) -> Any:
    """Adds one page for each kind of reference."""
    for name, page in PAGES.items():
        files.append(File.generated(config, f"reference/{name}.md", content=page()))
    return files


def settings_page() -> str:
    """Returns every setting with its default, its meaning, and the program that reads it."""
    lines = [
        "# Settings",
        "",
        "Settings come from the environment, then from `.env`, then from files in `RTP_SECRETS_DIR`.",
        f"A name that starts with `{PREFIX}` and is not listed here is refused.",
        "",
        *_table("setting", "default", "read by", "meaning"),
    ]
    shared = set(PlatformSettings.model_fields)
    for program in (PlatformSettings, *SETTINGS):
        reader = OF_EVERY_PROGRAM if program is PlatformSettings else (program.__doc__ or "").partition(":")[0]
        for name, field in program.model_fields.items():
            if program is not PlatformSettings and name in shared:
                continue
            shared.add(name)
            default = "" if field.default is None else f"`{field.default}`"
            lines.append(_row(f"`{PREFIX}{name.upper()}`", default, reader, field.description or ""))
    return "\n".join(lines)


def cli_page() -> str:
    """Returns the help of every command."""
    lines = ["# Command line", "", "Exit codes: 0 success, 1 failure, 2 wrong usage or settings, 130 Ctrl-C.", ""]
    context = click.Context(rtp, info_name="rtp")
    for name in rtp.list_commands(context):
        command = rtp.get_command(context, name)
        if command is not None:
            lines += _help(command, f"rtp {name}", 2)
    return "\n".join(lines)


def _help(command: click.Command, path: str, level: int) -> list[str]:
    context = click.Context(command, info_name=path, terminal_width=100)
    lines = [f"{'#' * level} {path}", "", "```text", command.get_help(context), "```", ""]
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None:
                lines += _help(child, f"{path} {name}", level + 1)
    return lines


def record_page() -> str:
    """Returns the fields of a transaction and their rules."""
    lines = [
        "# The record",
        "",
        "A record in Kafka is a JSON object in UTF-8. Fields that a source does not know are left out.",
        "",
        *_table("field", "PostgreSQL type", "required", "rule", "meaning"),
    ]
    for field in FIELDS:
        rule = field.rule
        required = "yes" if field.required else "no"
        lines.append(_row(f"`{field.name}`", f"`{rule.pg_type}`", required, _rule(rule), rule.meaning))
    return "\n".join(lines)


def _rule(rule: Rule) -> str:
    parts = []
    if rule.max_length is not None:
        parts.append(f"{rule.min_length} to {rule.max_length} characters")
    if rule.pattern is not None:
        parts.append(f"matches `{rule.pattern}`")
    if not rule.controls:
        parts.append("no control characters")
    return ", ".join(parts)


def api_page() -> str:
    """Returns the calls of both services."""
    rules, nothing = GuardRules(), cast(Any, None)
    parts = _producer_parts()
    watcher = ConsumerWatcher(_consumer_state())
    service = Service(ConsumerSettings(), Endpoints(), watcher, nothing, nothing, threading.Event())
    producer = producer_api(parts, ProducerWatcher(parts), rules).openapi()
    consumer = consumer_api(service, rules).openapi()
    lines = [
        "# HTTP APIs",
        "",
        "Each service describes itself at `/openapi.json`, and shows the description at `/docs`.",
        "Errors are problem documents (RFC 9457).",
        "",
    ]
    for title, document in (("Producer, port 8001", producer), ("Consumer, port 8002", consumer)):
        lines += [f"## {title}", "", *_table("call", "does")]
        for path, calls in document["paths"].items():
            for method, call in calls.items():
                lines.append(_row(f"`{method.upper()} {path}`", call.get("summary", "")))
        lines.append("")
    return "\n".join(lines)


def metrics_page() -> str:
    """Returns the metrics of both services."""
    lines = ["# Metrics", ""]
    parts = _producer_parts()
    collectors: dict[str, Collector] = {
        "Producer": ProducerMetrics(ProducerWatcher(parts)),
        "Consumer": ConsumerMetrics(ConsumerWatcher(_consumer_state()), "transactions"),
    }
    for title, collector in collectors.items():
        lines += [f"## {title}", "", *_table("metric", "type", "labels", "meaning")]
        for metric in collector.collect():
            labels = sorted({name for sample in metric.samples for name in sample.labels if name != "le"})
            suffix = "_total" if metric.type == "counter" else ""
            shown = ", ".join(f"`{name}`" for name in labels)
            lines.append(_row(f"`{metric.name}{suffix}`", metric.type, shown, metric.documentation))
        lines.append("")
    return "\n".join(lines)


def _producer_parts() -> Parts:
    link = SimpleNamespace(trouble=None, acknowledged=0, failed=0, outstanding=0)
    controls = SimpleNamespace(rate_per_s=1.0, running=True, burst=0, chaos=Chaos())
    loop, submitter = SimpleNamespace(alive=True, generated=Counts()), SimpleNamespace(acknowledged=0)
    return cast(
        Parts, SimpleNamespace(controls=controls, loop=loop, link=link, submitter=submitter, topic="transactions")
    )


def _consumer_state() -> ConsumerState:
    return ConsumerState(topic_id="example", positions={0: 1}, log={0: (0, 2)}, assigned={0})


def _table(*names: str) -> Iterable[str]:
    return (_row(*names), _row(*("---" for _ in names)))


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


PAGES: dict[str, Callable[[], str]] = {
    "settings": settings_page,
    "cli": cli_page,
    "record": record_page,
    "api": api_page,
    "metrics": metrics_page,
}
