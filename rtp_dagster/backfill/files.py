"""`files_are_loaded`: checks that every file of the data folder is in Kafka, and says what keeps the others out."""

from collections.abc import Mapping, Sequence

import dagster as dg

from rtp_dagster.platform import Platform
from rtp_dagster.retries import retried
from rtp_dagster.verdict import Metadata, Verdict
from rtp_workers.batch.file_states import FileState, counts, folder_states

CSV_FILES = dg.AssetKey("csv_files")
CHECK = "files_are_loaded"
FILES = dg.DynamicPartitionsDefinition(name="csv_files")
SHOWN, SHOWN_CHARACTERS = 20, 300
_SCHEMA = dg.TableSchema([dg.TableColumn(name, "string") for name in ("file", "state", "reason")])


csv_files = dg.AssetSpec(
    CSV_FILES,
    description=(
        "The CSV files of the data folder. `csv_arrival_sensor` starts a run for each until it is loaded. What is not "
        "loaded, and why, is in the check `files_are_loaded` and in `rtp status`. A partition is a file: what its last "
        "load did, or why it failed."
    ),
    group_name="ingestion",
    kinds={"csv"},
    owners=["team:data-platform"],
    partitions_def=FILES,
)


@dg.asset_check(
    asset=CSV_FILES,
    name=CHECK,
    description="Every CSV file of the data folder is loaded; those that are not are listed, each with its reason.",
)
def files_are_loaded(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    """Reads the folder and how the last attempt at each file ended. Takes milliseconds."""
    with retried(context.op_execution_context.retry_number), platform.reader() as connection:
        states = folder_states(platform.settings(), connection)
    return judge_files(states, {state.name: "new" for state in states if state.state == "new"}).result()


def judge_files(states: Sequence[FileState], waiting: Mapping[str, str]) -> Verdict:
    """Judges the folder. A file that will be retried is a warning, any other file that is not loaded an error.

    Args:
        states: the state of every entry.
        waiting: by file name, why no run for a new file is requested yet.
    """
    out = [state for state in states if state.state in ("failed", "refused")]
    figures: Metadata = {
        **counts(list(states)),
        "not_loaded": dg.MetadataValue.table(_records(states, waiting), _SCHEMA),
    }
    if not out:
        new = f", {len(waiting):,} on their way" if waiting else ""
        return Verdict(True, f"{counts(list(states))['loaded']:,} files are loaded{new}", metadata=figures)
    stands = any(state.retry_at_s is None for state in out)
    severity = dg.AssetCheckSeverity.ERROR if stands else dg.AssetCheckSeverity.WARN
    return Verdict(False, f"{len(out):,} files are not loaded: {reasons(out)}", severity, figures)


def reasons(states: Sequence[FileState]) -> str:
    """Returns the first files that are not loaded, each with its reason and what happens next."""
    told = [f"{_named(state)}{_next(state)}" for state in states[:SHOWN]]
    more = [f"and {len(states) - SHOWN:,} more; see `rtp status`"] if len(states) > SHOWN else []
    return "; ".join([*told, *more])


def waiting_text(waiting: Mapping[str, str]) -> str:
    """Returns the first files that wait, each with its reason."""
    told = [f"{name}: {why}" for name, why in list(waiting.items())[:SHOWN]]
    more = [f"and {len(waiting) - SHOWN:,} more"] if len(waiting) > SHOWN else []
    return "; ".join([*told, *more])


def _records(states: Sequence[FileState], waiting: Mapping[str, str]) -> list[dg.TableRecord]:
    out = [state for state in states if state.state in ("failed", "refused")]
    rows = [
        {"file": state.name, "state": str(state.state), "reason": _short(state.reason) + _next(state)} for state in out
    ]
    rows += [{"file": name, "state": "waiting", "reason": why} for name, why in waiting.items()]
    return [dg.TableRecord(row) for row in rows[:SHOWN]]


def _named(state: FileState) -> str:
    reason = _short(state.reason)
    return reason if reason.startswith(state.name) else f"{state.name}: {reason}"


def _next(state: FileState) -> str:
    return f" ({state.next_step})" if state.state == "failed" else ""


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHOWN_CHARACTERS else line[:SHOWN_CHARACTERS] + "..."
