"""``rtp up``: the whole embedded platform until Ctrl-C."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from types import FrameType

import click
from rich.table import Table

from rtp_workers import logs
from rtp_workers.cli.durations import DURATION_S
from rtp_workers.cli.terminal import console
from rtp_workers.endpoints import Endpoints, write_file
from rtp_workers.errors import ConfigError
from rtp_workers.local import pgadmin
from rtp_workers.local.bring_up import servers_for, servers_running
from rtp_workers.local.dagster_home import write_dagster_home, write_workspace
from rtp_workers.local.embedded import EmbeddedServers
from rtp_workers.local.own_exports import forget_ours, note_ours
from rtp_workers.local.parts import Part, ProgramPart, ServerPart, consumer, dagster, producer
from rtp_workers.local.sample_data import offer_sample
from rtp_workers.local.supervisor import keep_running, stop_all
from rtp_workers.settings import PlatformSettings, load

PARTS = ("kafka", "postgres", "producer", "consumer", "dagster")
PGADMIN = "pgadmin"
LIVE_TIMEOUT_S = 180.0  # Dagster takes 5 s on an idle machine, and over a minute if ten processes wait for two cores


class OnlyParts(click.ParamType[frozenset[str]]):
    """Turns ``kafka,postgres`` into a set of parts."""

    name = "parts"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> frozenset[str]:
        """Returns the parts. Fails the command line if a name is not a part."""
        named = frozenset(part.strip() for part in str(value).split(","))
        unknown = named.difference(PARTS)
        if unknown:
            self.fail(f"unknown parts {', '.join(sorted(unknown))}; the parts are {', '.join(PARTS)}", param, ctx)
        return named


@click.command("up")
@click.option("--run-for", type=DURATION_S, metavar="DURATION", help="Stop after this long, e.g. 30s.")
@click.option(
    "--only",
    type=OnlyParts(),
    metavar="PARTS",
    default=",".join(PARTS),
    help=f"Some of {','.join(PARTS)} instead of all.",
)
@click.option(
    "--brokers",
    type=click.Choice(["1", "3"]),
    default="1",
    show_default=True,
    help="How many Kafka brokers. Three keep three copies of each record, and use three ports from RTP_KAFKA_PORT on.",
)
@click.option("--pgadmin", "with_pgadmin", is_flag=True, help="Run pgAdmin too; the first time installs it (450 MB).")
def command(run_for: float | None, only: frozenset[str], brokers: str, with_pgadmin: bool) -> int:
    """Run the whole embedded platform until Ctrl-C: Kafka, PostgreSQL, producer, consumer, Dagster.

    A part that dies is started again. With RTP_KAFKA_BOOTSTRAP or RTP_POSTGRES_DSN set, your own servers are used.
    If there is no folder data, the first start creates one with sample transactions.
    """
    forget_ours(os.environ)
    settings = load(PlatformSettings)
    logs.configure("stderr", settings.log_level or "INFO", settings.log_format)
    with interruptible() as asked:
        run_platform(settings, only | {PGADMIN} if with_pgadmin else only, run_for, asked, int(brokers))
    return 0


def run_platform(
    settings: PlatformSettings,
    only: frozenset[str],
    run_for_s: float | None,
    asked: Callable[[], bool],
    brokers: int = 1,
) -> None:
    """Starts the parts, shows where they are, and keeps them running until `asked` to stop, or for `run_for_s`."""
    screen = console()
    if "dagster" in only and not settings.home.exists() and offer_sample(settings):
        screen.print(f"made {settings.data_dir} with sample transactions, since there was no such folder")
    servers = servers_for(settings, only, brokers)
    workers = [make(settings) for name, make in (("producer", producer), ("consumer", consumer)) if name in only]
    orchestration = dagster(settings) if "dagster" in only else None
    admin = [pgadmin.pgadmin(settings)] if PGADMIN in only else []
    _need_servers(settings, only)
    parts: list[ProgramPart] = [*workers, *(orchestration or ()), *admin]
    for part in parts:
        part.prepare()
    if admin:
        pgadmin.install(settings.home)
    screen.print(f"starting {', '.join(part for part in PARTS if part in only)} in {settings.home}", highlight=False)
    with servers_running(settings, servers) as found:
        try:
            endpoints = with_urls(found, parts)
            write_file(settings.home, endpoints)
            note_ours(settings.home, with_urls(servers.endpoints(), parts))
            start_together(workers)
            if orchestration is not None:
                write_dagster_home(settings.home, endpoints)
                write_workspace(orchestration.folder, orchestration.code_socket)
                start_together([orchestration.code])
                start_together([orchestration.web, orchestration.daemon])
            if admin:
                pgadmin.configure(settings.home, endpoints)
                start_together(admin)
            screen.print(overview(settings, endpoints))
            ends_at = None if run_for_s is None else time.monotonic() + run_for_s
            watched: list[Part] = [*server_parts(servers), *parts]
            keep_running(watched, lambda: asked() or (ends_at is not None and time.monotonic() >= ends_at))
        except KeyboardInterrupt:
            pass
        finally:
            with suppress(OSError):  # a full disk behind our output must not keep anything from stopping
                screen.print("stopping")
            stop_all(parts)


def start_together(parts: list[ProgramPart]) -> None:
    """Starts parts and waits until each answers.

    Raises:
        FatalError: one ended; the message has the end of its log. TransientError: one does not answer.
    """
    for part in parts:
        part.start()
    for part in parts:
        if part.child is not None:
            part.child.wait_until(part.live, LIVE_TIMEOUT_S)


def with_urls(endpoints: Endpoints, parts: list[ProgramPart]) -> Endpoints:
    """Returns the endpoints with the URLs of the parts that have one."""
    urls = {part.name: part.url for part in parts if part.url is not None}
    return replace(
        endpoints,
        producer_url=urls.get("producer", endpoints.producer_url),
        consumer_url=urls.get("consumer", endpoints.consumer_url),
        dagster_url=urls.get("dagster-webserver", endpoints.dagster_url),
        pgadmin_url=urls.get(PGADMIN, endpoints.pgadmin_url),
    )


def server_parts(servers: EmbeddedServers) -> list[Part]:
    """Returns our servers as parts to supervise."""
    parts: list[Part] = [ServerPart(broker.name, broker) for broker in servers.brokers()]
    return parts if servers.postgres is None else [*parts, ServerPart("postgres", servers.postgres)]


def overview(settings: PlatformSettings, endpoints: Endpoints) -> Table:
    """Returns the table of what runs where."""
    table = Table("part", "where", "what for", box=None, header_style="bold")
    server = f"127.0.0.1:{settings.postgres_port}"
    rows = (
        ("Kafka", endpoints.kafka_bootstrap, f"topic {settings.topic}"),
        (
            "PostgreSQL",
            "your own" if settings.postgres_dsn else server if endpoints.postgres_dsn else None,
            'eval "$(rtp env)"',
        ),
        ("producer", endpoints.producer_url, "live page, rate, chaos; /docs"),
        ("consumer", endpoints.consumer_url, "live page, dead letters; /docs"),
        ("Dagster", endpoints.dagster_url, "backfill, sensors, checks"),
        ("pgAdmin", endpoints.pgadmin_url, f"{pgadmin.EMAIL}, password in {settings.home}/secrets/{pgadmin.PASSWORD}"),
    )
    for name, where, purpose in rows:
        if where is not None:
            table.add_row(name, where, purpose)
    table.add_row("logs", str(settings.home / "logs"), "Ctrl-C stops everything")
    return table


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Makes SIGTERM and SIGHUP act like Ctrl-C. A second one ends us at once; the servers then stop by themselves.

    Yields a function that tells whether a signal has come. Loops call it too, because Python drops an exception that is
    raised in a callback of its own housekeeping, and the signal may come at that moment.
    """
    asked = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, signal.SIG_DFL)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _need_servers(settings: PlatformSettings, only: frozenset[str]) -> None:
    needing = only.intersection(("producer", "consumer", "dagster", PGADMIN))
    own = {"kafka": settings.kafka_bootstrap, "postgres": settings.postgres_dsn}
    for server, given in own.items():
        users = needing - {PGADMIN} if server == "kafka" else needing
        if users and server not in only and given is None:
            raise ConfigError(
                f"--only leaves out {server}, which {', '.join(sorted(users))} needs; "
                f"name it too, or set {'RTP_KAFKA_BOOTSTRAP' if server == 'kafka' else 'RTP_POSTGRES_DSN'}"
            )
