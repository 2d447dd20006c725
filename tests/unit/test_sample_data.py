"""The sample in data/: made by the package, canonical throughout, offered to whoever has no data folder."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import pytest

from rtp_workers.local.sample_data import offer_sample, write_samples
from rtp_workers.record import codec
from rtp_workers.record.transaction import Transaction
from rtp_workers.settings import PlatformSettings, load

DATA = Path(__file__).parents[2] / "data"


def content(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def test_the_same_files_are_made_again(tmp_path: Path) -> None:
    write_samples(tmp_path)
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


def test_a_folder_without_data_gets_the_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RTP_DATA_DIR", raising=False)
    assert offer_sample(load(PlatformSettings))
    assert len(list((tmp_path / "data").iterdir())) == 2
    assert not offer_sample(load(PlatformSettings)), "the folder is there now, whatever it holds"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RTP_DATA_DIR", "elsewhere"),
        ("RTP_POSTGRES_DSN", "postgresql://db.example/rtp"),
        ("RTP_KAFKA_BOOTSTRAP", "kafka.example:9092"),
    ],
)
def test_nothing_is_made_up_for_somebodys_own_folder_or_servers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(name, value)
    assert not offer_sample(load(PlatformSettings))
    assert list(tmp_path.iterdir()) == []
