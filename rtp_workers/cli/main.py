"""The ``rtp`` command. Subcommands are imported when used, so that ``rtp --help`` answers at once."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from importlib.metadata import version
from io import StringIO

import click

from rtp_workers import environment, logs
from rtp_workers.cli.terminal import say, survive_any_encoding
from rtp_workers.errors import ConfigError, RtpError
from rtp_workers.settings import PlatformSettings, load

EXIT_FAILED = 1
EXIT_CONFIG = 2
EXIT_INTERRUPTED = 130

# Subcommand -> (module of rtp_workers.cli that exposes `command`, its line in the help).
SUBCOMMANDS: dict[str, tuple[str, str]] = {
    "up": ("up", "Run the whole embedded platform until Ctrl-C."),
    "demo": ("demo", "Backfill data/, stream live, reconcile both, exit."),
    "env": ("env", "Print export lines for other programs."),
    "doctor": ("doctor", "Check ports, versions, disk, settings and connections."),
    "load": ("load", "Load CSV files into Kafka."),
    "files": ("files", "Show which CSV files of the data folder are loaded, and why others are not."),
    "sources": ("sources", "List or show how each series of exports is read."),
    "refused": ("refused", "List or show rows of CSV files that were refused."),
    "map": ("map", "Show or write the mapping of a foreign CSV."),
    "produce": ("produce", "Run the live generator and its HTTP API."),
    "consume": ("consume", "Run the Kafka -> PostgreSQL worker and its HTTP API."),
    "pause": ("pause", "Make every consumer stop writing."),
    "resume": ("resume", "Make every consumer resume writing."),
    "skip": ("skip", "Step over offsets that cannot be read or stored, and count them."),
    "status": ("status", "Show services, rows, lag, rates and dead letters in one table."),
    "verify": ("verify", "Reconcile Kafka, ledger and tables; exit 1 if they disagree."),
    "dead-letters": ("dead_letters", "List, show or replay refused records."),
    "purge": ("purge", "Delete rows or undo an import; the ledger counts it."),
    "losses": ("losses", "List and confirm stored records that Kafka has lost."),
    "migrate": ("migrate", "Bring the database schema and roles up to date."),
    "topics": ("topics", "Create the topic, or report its drift."),
    "setup": ("setup", "Create secrets, roles, schema and topic for the containers."),
}


class LazyGroup(click.Group):
    """A group that knows its subcommands by name and imports one only when it is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Returns the names in the order of `SUBCOMMANDS`."""
        return list(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Returns the imported subcommand, or None if there is no such name."""
        if cmd_name not in SUBCOMMANDS:
            return None
        module = importlib.import_module(f"rtp_workers.cli.{SUBCOMMANDS[cmd_name][0]}")
        command: click.Command = module.command
        _add_log_format(command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the help from the table, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in SUBCOMMANDS.items()])


def _set_log_format(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    """Turns the option into the setting of the same name, which programs that we start read as well."""
    if value is not None:
        os.environ["RTP_LOG_FORMAT"] = value
        configure_logs()


def _log_format_option() -> click.Option:
    return click.Option(
        ["--log-format"],
        type=click.Choice(["auto", "text", "json"]),
        callback=_set_log_format,
        expose_value=False,
        help="How logs are written: json for machines (RTP_LOG_FORMAT).",
    )


def _add_log_format(command: click.Command) -> None:
    """Accepts the option after the subcommand as well as before it."""
    if not any(param.name == "log_format" for param in command.params):
        command.params.append(_log_format_option())
    if isinstance(command, click.Group):
        for each in command.commands.values():
            _add_log_format(each)


def configure_logs() -> None:
    """Sets up the logs of a command. Wrong settings are reported by the command itself, when it reads them."""
    try:
        settings = load(PlatformSettings)
    except ConfigError:
        settings = PlatformSettings.model_validate({})
    logs.configure("stderr", settings.log_level, settings.log_format)


def _show_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    """Prints our version and those of the servers that this installation starts, and ends the command."""
    if not value or ctx.resilient_parsing:
        return
    from rtp_workers.local.versions import embedded_versions

    say(f"rtp, version {version('real-time-data-platform')}")
    servers = [f"{name} {number}" for name, number in embedded_versions().items()]
    say(f"`rtp up` starts {' and '.join(servers)}" if servers else "no server is installed: it uses your own")
    ctx.exit()


def _version_option() -> click.Option:
    return click.Option(
        ["--version"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_show_version,
        help="Show the version, and those of the Kafka and PostgreSQL that `rtp up` starts.",
    )


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    params=[_version_option(), _log_format_option()],
)
def rtp() -> None:
    """Trusted ingestion of transactions: CSV files and live feeds -> Kafka -> PostgreSQL, exactly once."""
    configure_logs()


def run() -> None:
    """Runs the command line; exit 2 for wrong settings or usage, 1 for any other failure, 130 for Ctrl-C."""
    environment.forget_ignored()
    survive_any_encoding()
    sys.exit(run_command(sys.argv[1:]))


def run_command(arguments: list[str]) -> int:
    """Runs one command and returns its exit code. Our own errors become one line on stderr."""
    try:
        result = rtp.main(args=arguments, prog_name="rtp", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.exceptions.Abort:
        return EXIT_INTERRUPTED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except click.ClickException as error:
        shown = StringIO()
        error.show(shown)
        say(shown.getvalue(), err=True, nl=False)
        return error.exit_code
    except RtpError as error:
        say(f"error: {error}", err=True)
        return EXIT_CONFIG if isinstance(error, ConfigError) else EXIT_FAILED
    except BrokenPipeError:
        # The reader (head, less) has gone: say nothing, and keep the interpreter from flushing into the pipe again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except OSError as error:
        say(f"error: {_told(error)}", err=True)
        return EXIT_FAILED


def _told(error: OSError) -> str:
    where = f": {os.fsdecode(error.filename)}" if isinstance(error.filename, str | bytes) else ""
    remedy = "; free some space, or set RTP_HOME to another disk" if error.errno == errno.ENOSPC else ""
    return f"{error.strerror or str(error) or type(error).__name__}{where}{remedy}"


if __name__ == "__main__":
    run()
