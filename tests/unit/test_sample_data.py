"""The sample in data/: made by its script, canonical throughout."""

from __future__ import annotations

import csv
import gzip
import subprocess
import sys
from pathlib import Path

from rtp_workers.record import codec
from rtp_workers.record.transaction import Transaction

DATA = Path(__file__).parents[2] / "data"


def content(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def test_the_script_makes_the_same_files_again(tmp_path: Path) -> None:
    subprocess.run([sys.executable, str(DATA / "make_sample.py"), str(tmp_path)], check=True, capture_output=True)
    made = sorted(path.name for path in tmp_path.iterdir())
    assert made == ["transactions_2026_01.csv", "transactions_2026_02_to_06.csv.gz"]
    for name in made:
        assert content(tmp_path / name) == content(DATA / name)


def test_every_row_is_a_valid_transaction_and_every_id_its_own() -> None:
    ids = set()
    for name in ("transactions_2026_01.csv", "transactions_2026_02_to_06.csv.gz"):
        for row in csv.DictReader(content(DATA / name).decode().splitlines()):
            transaction = Transaction(**{key: value or None for key, value in row.items()})  # type: ignore[arg-type]  # texts
            codec.check(transaction)
            ids.add(transaction.transaction_id)
    assert len(ids) == 22_000
