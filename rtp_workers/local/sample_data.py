"""The sample transactions of ``rtp demo`` and of data/, the same every time: ``python -m`` this module ``[FOLDER]``."""

from __future__ import annotations

import csv
import gzip
import io
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rtp_workers.settings import PlatformSettings

SEED = 20260101
HEADER = (
    "transaction_id",
    "occurred_at",
    "amount",
    "customer_id",
    "merchant",
    "category",
    "currency",
    "payment_method",
    "status",
    "country",
)
# category: (share of purchases, median amount, spread of its logarithm, merchants)
CATEGORIES: dict[str, tuple[float, float, float, tuple[str, ...]]] = {
    "groceries": (
        30,
        34,
        0.7,
        ("Fresh & Co", "Corner Market", "Maison du Pain", "Nordsee Fisch", "Verde, Frutas y Más"),
    ),
    "restaurants": (18, 22, 0.6, ("Café Zentral", "Pizzeria da Luca", "Sushi Ko", 'The "Golden" Fork', "Tapas 21")),
    "transport": (14, 9, 0.9, ("City Rail", "Metro Pass", "Blue Cab", "Velo Libre")),
    "fuel": (8, 55, 0.4, ("Nova Fuel", "Star Petrol", "E-Charge")),
    "clothing": (8, 48, 0.7, ("Linen & Wool", "Urban Thread", "Štýl Praha")),
    "electronics": (5, 140, 1.0, ("Pixel House", "Ohm Electronics", "Kabel & Söhne")),
    "health": (6, 26, 0.7, ("Apotheke am Markt", "Farmacia Sol", "Clear View Optics")),
    "entertainment": (6, 15, 0.6, ("Cinema Paradiso", "Stream Box", "Book Nook")),
    "travel": (3, 210, 0.9, ("Hotel Miramar", "Sky Tickets", "Pension Alpenblick")),
    "utilities": (2, 75, 0.5, ("City Power", "Aqua Works")),
}
COUNTRIES = {
    "DE": ("EUR", 30),
    "FR": ("EUR", 18),
    "ES": ("EUR", 14),
    "IT": ("EUR", 12),
    "GB": ("GBP", 14),
    "CZ": ("CZK", 6),
    "US": ("USD", 6),
}
PER_EURO = {"EUR": 1.0, "GBP": 0.85, "CZK": 25.0, "USD": 1.1}
METHODS = {"card": 62, "contactless": 22, "transfer": 8, "direct_debit": 5, "cash": 3}
HOURLY = (1, 1, 1, 1, 1, 2, 5, 9, 10, 8, 8, 11, 14, 12, 9, 9, 10, 13, 15, 13, 9, 6, 4, 2)
CUSTOMERS = 1_200


@dataclass(frozen=True)
class Sample:
    """One file: its name, its first day, how many days and how many rows."""

    name: str
    first_day: datetime
    days: int
    rows: int


SAMPLES = (
    Sample("transactions_2026_01.csv", datetime(2026, 1, 1, tzinfo=UTC), 31, 2_000),
    Sample("transactions_2026_02_to_06.csv.gz", datetime(2026, 2, 1, tzinfo=UTC), 150, 20_000),
)


@dataclass
class Shoppers:
    """Draws transactions; the same seed draws the same ones.

    Attributes:
        draw: the only source of chance.
        homes: country of each customer.
    """

    draw: random.Random
    homes: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.homes = self.draw.choices(list(COUNTRIES), [share for _, share in COUNTRIES.values()], k=CUSTOMERS)

    def transactions(self, sample: Sample) -> Iterator[list[str]]:
        """Yields the rows of one file in order of time; one in fifty gives an earlier purchase's money back."""
        bought: list[list[str]] = []
        for moment in sorted(self._moment(sample) for _ in range(sample.rows)):
            if bought and self.draw.random() < 0.02:
                purchase = self.draw.choice(bought[-500:])
                yield [self._id(moment), _rfc3339(moment), f"-{purchase[2]}", *purchase[3:8], "refunded", purchase[9]]
                continue
            row = self._purchase(moment)
            if row[8] == "booked":
                bought.append(row)
            yield row

    def _purchase(self, moment: datetime) -> list[str]:
        # Customers and merchants by rank: few of them make most of the purchases.
        customer = int(CUSTOMERS * self.draw.random() ** 3)
        category = self.draw.choices(list(CATEGORIES), [entry[0] for entry in CATEGORIES.values()])[0]
        _, median, spread, merchants = CATEGORIES[category]
        merchant = merchants[min(int(self.draw.paretovariate(1.1)), len(merchants)) - 1]
        country = self.homes[customer] if self.draw.random() < 0.95 else self.draw.choice(list(COUNTRIES))
        currency = COUNTRIES[country][0]
        amount = max(0.5, median * self.draw.lognormvariate(0, spread)) * PER_EURO[currency]
        method = self.draw.choices(list(METHODS), list(METHODS.values()))[0]
        status = self.draw.choices(("booked", "declined", "pending"), (95, 3, 2))[0]
        named = "" if method == "cash" else f"C{customer + 1:05d}"
        return [
            self._id(moment),
            _rfc3339(moment),
            f"{amount:.2f}",
            named,
            merchant,
            category,
            currency,
            method,
            status,
            country,
        ]

    def _moment(self, sample: Sample) -> datetime:
        hour = self.draw.choices(range(24), HOURLY)[0]
        day = sample.first_day + timedelta(days=self.draw.randrange(sample.days))
        return day + timedelta(hours=hour, milliseconds=self.draw.randrange(3_600_000))

    def _id(self, moment: datetime) -> str:
        """Returns a UUIDv7: the time in milliseconds, then chance."""
        stamp = int(moment.timestamp() * 1000)
        number = stamp << 80 | 7 << 76 | self.draw.getrandbits(12) << 64 | 2 << 62 | self.draw.getrandbits(62)
        text = f"{number:032x}"
        return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def offer_sample(settings: PlatformSettings) -> bool:
    """Makes a data folder with the sample, for a first look; returns whether it did.

    Nothing is created if the user chose a folder or has one, or if the rows would go to the user's own servers.
    """
    folder = settings.data_dir
    if "data_dir" in settings.model_fields_set or not isinstance(folder, Path) or folder.exists():
        return False
    if settings.kafka_bootstrap is not None or settings.postgres_dsn is not None:
        return False
    folder.mkdir()
    write_samples(folder)
    return True


def write_samples(folder: Path) -> list[Path]:
    """Writes all files and returns their paths."""
    shoppers = Shoppers(random.Random(SEED))
    return [_write(folder / sample.name, shoppers.transactions(sample)) for sample in SAMPLES]


def _write(path: Path, rows: Iterator[list[str]]) -> Path:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerows(rows)
    data = text.getvalue().encode()
    # Without a time of its own in it, the archive is the same every time.
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
    return path


def _rfc3339(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


if __name__ == "__main__":
    for written in write_samples(Path(sys.argv[1] if len(sys.argv) > 1 else "data")):
        print(written)
