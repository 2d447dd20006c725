"""Fields and roles of the mapping are derived from the record's declaration, and none loses what its column says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import rtp_workers
from rtp_workers.mapping.columns.vocabulary import roles
from rtp_workers.mapping.sources import COLUMN_ROLES, Section
from rtp_workers.record.transaction import FIELDS, RULES
from tests.mapping_files import csv_of, load_all, plan_of

CELLS = {
    "transaction_id": "T-1",
    "occurred_at": "2024-05-06 07:08:09",
    "amount": "12.50",
    "currency": "EUR",
    "country": "DE",
}
OPTIONAL = [field.name for field in FIELDS if not field.required and field.name != "attributes"]


@pytest.mark.parametrize("field", [field.name for field in FIELDS if field.name != "attributes"])
def test_a_column_that_the_mapping_names_for_a_field_fills_it(field: str) -> None:
    others = {"occurred_at": "when", "amount": "sum"} | {field: "x"}
    cells = [CELLS.get(name, "Something") for name in others]
    data = csv_of(",".join(others.values()), ",".join(cells))
    mapping = Section(columns={name: (column,) for name, column in others.items()})
    record = load_all(data, mapping=mapping).records[0]
    expected = {"occurred_at": "2024-05-06T07:08:09Z"}.get(field, CELLS.get(field, "Something"))
    assert record[field] == expected
    assert "x" not in record.get("attributes", {})


@pytest.mark.parametrize("field", OPTIONAL)
def test_a_cell_that_breaks_a_fields_rule_stays_in_attributes(field: str) -> None:
    odd = "y" * ((RULES[field].max_length or 0) + 1)
    data = csv_of("when,sum,x", f"2024-05-06,1.00,{odd}", "2024-05-06,1.00,EUR")
    mapping = Section(columns={"occurred_at": ("when",), "amount": ("sum",), field: ("x",)})
    record = load_all(data, mapping=mapping).records[0]
    assert field not in record
    assert record["attributes"] == {"x": odd}


@pytest.mark.parametrize("role", COLUMN_ROLES)
def test_a_role_that_conversion_does_not_read_leaves_its_column_in_attributes(role: str) -> None:
    """A mapping may name roles that exclude each other, an amount and a debit; nothing of the file is lost."""
    data = csv_of("when,sum,x", "2024-05-06,1.00,7", "2024-05-07,2.00,7")
    columns = {"occurred_at": ("when",), "amount": ("sum",)} | {role: ("x",)}
    plan = plan_of(data, mapping=Section(columns=columns, step_origin="2024-01-01T00:00:00Z", step_unit="day"))
    read = {name for role_read in plan.roles_read for name in plan.uses[role_read].columns}
    assert {"when", "sum", "x"} <= read | set(plan.attributes)


def test_columns_beyond_the_first_that_is_filled_stay_in_attributes() -> None:
    data = csv_of("when,sum,name,alias", "2024-05-06,1.00,Shop,Shop GmbH", "2024-05-06,2.00,,Kiosk")
    mapping = Section(columns={"occurred_at": ("when",), "amount": ("sum",), "category": ("name", "alias")})
    records = load_all(data, mapping=mapping).records
    assert [record["category"] for record in records] == ["Shop", "Kiosk"]
    assert records[0]["attributes"] == {"alias": "Shop GmbH"}


def test_every_field_has_words_that_its_columns_are_known_by() -> None:
    assert {field.name for field in FIELDS if field.name != "attributes"} <= roles().keys()


ADDED = '    channel: Annotated[str | None, Rule("choice", "text", "where it was made", 40)] = None\n'
PROGRAM = """
import importlib.util, json, sys
import rtp_workers.record
spec = importlib.util.spec_from_loader("rtp_workers.record.transaction", loader=None)
module = importlib.util.module_from_spec(spec)
sys.modules["rtp_workers.record.transaction"] = module
exec(compile(open(sys.argv[1]).read(), sys.argv[1], "exec"), module.__dict__)
rtp_workers.record.transaction = module
from rtp_workers.mapping.sources import Section
from rtp_workers.record.codec import decode
from rtp_workers.record.copy_text import BatchDecoder
from tests.mapping_files import csv_of, load_all
rows = [f"2024-05-{day:02},{day}.50,{'app' if day % 2 else 'till'},n" for day in range(1, 10)]
guessed = load_all(csv_of("Date,Amount,Channel,Note", *rows))
named = load_all(csv_of("Date,Amount,Kanal,Note", *rows), mapping=Section(columns={"channel": ("Kanal",)}))
wide = load_all(csv_of("Date,Amount,Kanal,Note", "2024-05-01,1.50," + "z" * 41 + ",n", rows[0]),
    mapping=Section(columns={"channel": ("Kanal",)}))
body = json.dumps(named.records[0]).encode()
print(json.dumps({
    "guessed": guessed.records[0], "named": named.records[0], "wide": wide.records[0],
    "line": BatchDecoder().lines([body]).lines[0], "careful": decode(body).texts,
}))
"""


def test_a_field_that_is_added_to_the_record_is_read_checked_and_stored_without_another_edit(tmp_path: Path) -> None:
    source = (Path(rtp_workers.__file__).parent / "record" / "transaction.py").read_text()
    at = source.index("    attributes: Annotated[")
    changed = tmp_path / "transaction.py"
    changed.write_text(source[:at] + ADDED + source[at:])
    root = Path(rtp_workers.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(changed)],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["guessed"]["channel"] == "app"
    assert seen["named"]["channel"] == "app"
    assert seen["named"]["attributes"] == {"Note": "n"}
    assert "channel" not in seen["wide"]
    assert seen["wide"]["attributes"] == {"Note": "n", "Kanal": "z" * 41}
    assert "\tapp\t" in seen["line"]
    assert "app" in seen["careful"]
