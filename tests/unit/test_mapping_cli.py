"""``rtp map`` and ``rtp load --dry-run``: what they print and write, and that it can be read back."""

from __future__ import annotations

import io
import json
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from bench.csv_report import Shape, shapes
from rtp_workers.batch.planning import PlannedFile
from rtp_workers.cli import dry_run, map
from rtp_workers.errors import ConfigError
from rtp_workers.mapping.infer import infer
from rtp_workers.mapping.section_text import file_pattern, section_name, section_text
from rtp_workers.mapping.sources import sources_from
from tests.mapping_files import csv_of, plan_of

DECIDED = [shape for shape in shapes() if "?" not in shape.expect.values()]  # "?": it must be asked
ASKED = [shape for shape in shapes() if "?" in shape.expect.values()]
BANK = csv_of("Buchungstag;Empfänger;Betrag", "15.01.2024;Café;-3,50", "16.01.2024;Lohn;1.000,00", ";;", "17.01.2024")


@pytest.mark.parametrize("shape", DECIDED, ids=lambda shape: str(shape.name))
def test_the_section_that_rtp_map_writes_gives_the_same_plan(shape: Shape) -> None:
    name = f"{shape.name}.csv"
    plan = plan_of(shape.data, name)
    mapping = sources_from(tomllib.loads(section_text(plan, name, "written")), "sources.toml")
    again = plan_of(shape.data, name, mapping)
    assert again.undecided == ()
    assert {role: use.columns for role, use in again.uses.items()} == {
        role: use.columns for role, use in plan.uses.items()
    }
    assert again.rules.date_order == plan.rules.date_order
    assert again.rules.sign == plan.rules.sign
    assert again.rules.decimal_mark == plan.rules.decimal_mark
    if plan.derives_ids:
        assert again.source == plan.source


@pytest.mark.parametrize("shape", ASKED, ids=lambda shape: str(shape.name))
def test_the_section_that_rtp_map_writes_closes_no_question(shape: Shape) -> None:
    name = f"{shape.name}.csv"
    plan = plan_of(shape.data, name)
    mapping = sources_from(tomllib.loads(section_text(plan, name, "written")), "sources.toml")
    asked = {question.question for question in plan.undecided}
    assert asked
    assert asked == {question.question for question in plan_of(shape.data, name, mapping).undecided}


def test_a_section_does_not_decide_what_nothing_in_the_beginning_shows() -> None:
    plan = plan_of(csv_of("Fecha;Texto;Importe", "13/01/2024;Pan;1200", "16/01/2024;Farmacia;9500"), "mes.csv")
    text = section_text(plan, "mes.csv")
    assert "decimal_mark" in plan.rules.open_rules
    assert "decimal_mark" not in text  # 1.200 on a later line decides it, or stops the load
    assert "encoding" not in text


def test_a_question_with_several_lines_is_a_comment() -> None:
    rows = [f"R{number // 2},2024-01-{number:02d},-{number}.50,Shop {number}" for number in range(10, 28)]
    plan = plan_of(csv_of("transaction_id,Date,Amount,Text", *rows), "bank.csv")
    assert any("\n" in question.question for question in plan.undecided)
    tomllib.loads(section_text(plan, "bank.csv"))


def shown(data: bytes, width: int, name: str = "umsatz.csv") -> list[str]:
    console = Console(width=width, record=True, file=io.StringIO())
    dry_run.show(dry_run.dry_run(name, PlannedFile(infer(data, name), data), sample_is_all=True), console)
    return console.export_text().splitlines()


@pytest.mark.parametrize("width", [80, 140])
def test_a_dry_run_fits_the_terminal_and_shows_required_fields_whole(width: int) -> None:
    lines = shown(BANK, width)
    assert max(len(line) for line in lines) <= width
    text = "\n".join(lines)
    for expected in ("utf-8, semicolon, header on line 1", "2024-01-15T00:00:00Z", "1000.00", "Café", "Buchungstag"):
        assert expected in text
    assert "blank_row" in text
    assert "ragged_row" in text


def test_a_dry_run_that_leaves_something_open_shows_the_lines_to_add() -> None:
    text = "\n".join(shown(csv_of("Date,Amount", "03/04/2024,1.00"), 100, "bank-2024.csv"))
    assert "nothing is loaded until these questions are answered" in text
    assert 'files = ["bank-*.csv"]' in text
    assert "day_first = true" in text


def test_a_dry_run_counts_repeated_ids() -> None:
    data = csv_of("transaction_ref,date,amount", "a,2024-01-15,1.00", "a,2024-01-15,1.00", "b,2024-01-16,2.00")
    result = dry_run.dry_run("x.csv", PlannedFile(infer(data, "x.csv"), data), sample_is_all=True)
    assert result.repeated_ids == 1


def test_the_json_of_a_dry_run_has_the_shape_that_scripts_rely_on() -> None:
    result = dry_run.dry_run("umsatz.csv", PlannedFile(infer(BANK, "umsatz.csv"), BANK), sample_is_all=True)
    shape = json.loads(json.dumps(dry_run.as_json(result)))
    assert {
        "encoding",
        "delimiter",
        "header_line",
        "mapping",
        "undecided",
        "ignored_columns",
        "refused",
        "sample",
    } <= set(shape)
    assert shape["mapping"]["amount"] == {"columns": ["Betrag"], "confidence": 1.0, "why": "name and values ('betrag')"}
    assert [row["line"] for row in shape["refused"]] == [4, 5]
    assert shape["sample"][0]["amount"] == "-3.50"


@pytest.fixture
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("RTP_DATA_DIR", "RTP_HOME", "RTP_SOURCES_FILE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "umsatz-2024-01.csv").write_bytes(BANK)
    return tmp_path / "data"


def test_rtp_map_writes_a_section_once(data_folder: Path) -> None:
    file = str(data_folder / "umsatz-2024-01.csv")
    written = CliRunner().invoke(map.command, [file], catch_exceptions=False)
    assert written.exit_code == 0
    sections = tomllib.loads((data_folder / "sources.toml").read_text())
    assert sections["umsatz"]["files"] == ["umsatz-*.csv"]
    assert sections["umsatz"]["columns"]["amount"] == "Betrag"
    with pytest.raises(ConfigError, match=r"maps this file already, in \[umsatz\]"):
        CliRunner().invoke(map.command, [file], catch_exceptions=False, standalone_mode=False)


def test_rtp_map_can_only_print(data_folder: Path) -> None:
    file = str(data_folder / "umsatz-2024-01.csv")
    printed = CliRunner().invoke(map.command, ["--print", "--name", "mine", file], catch_exceptions=False)
    assert printed.output.startswith("[mine]\n")
    assert not (data_folder / "sources.toml").exists()


@pytest.mark.parametrize(
    ("name", "pattern", "section"),
    [
        ("umsatz-2024-01.csv", "umsatz-*.csv", "umsatz"),
        ("CSV_A_20180414_112204.csv.gz", "CSV_A_*.csv", "csv-a"),
        ("12345.csv", "*.csv", "source"),
        ("Kontoauszug März.csv", "Kontoauszug März.csv", "kontoauszug-marz"),
    ],
)
def test_the_next_exports_name_fits_the_pattern(name: str, pattern: str, section: str) -> None:
    assert file_pattern(name) == pattern
    assert section_name(name) == section
