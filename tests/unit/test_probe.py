"""Some rows of a file, converted to compare them with what is remembered and stored."""

from __future__ import annotations

from pathlib import Path

from rtp_workers.batch.planning import Overrides, plan_file
from rtp_workers.batch.probe import probe
from rtp_workers.batch.source_file import open_source
from rtp_workers.settings import LoaderSettings, load
from tests.csv_files import write_settled

STATEMENT = """\
Datum;Text;Betrag
13.02.2026;Anfangssaldo;100,00
13.02.2026;Laden;-5,00
14.02.2026;Markt;-6,50
kein Tag;Laden;-1,00

28.02.2026;Endsaldo;88,50
"""


def test_balance_lines_and_blank_lines_do_not_contradict_the_memory_of_a_source(tmp_path: Path) -> None:
    settings = load(LoaderSettings, home=tmp_path / "home")
    settings.home.mkdir()
    path = tmp_path / "statement.csv"
    write_settled(path, STATEMENT)
    with open_source(str(path)) as source:
        found = probe(source, plan_file(source, settings, Overrides()))
    assert (len(found.rows), found.refused) == (2, 1)
    assert found.refusal.startswith("occurred_at_not_a_date")
