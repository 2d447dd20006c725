"""The customers and merchants of the generated world, made once by Faker and kept as arrays of JSON fragments."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from faker import Faker

from rtp_workers.generator.markets import CATEGORIES, COUNTRIES

CUSTOMERS = 4_000
MERCHANTS_PER_NICHE = 16
DEFAULT_SEED = 20_260_101

Bytes = npt.NDArray[np.object_]


@dataclass(frozen=True, slots=True)
class Population:
    """The customers and merchants, and the parts of a record that depend on them alone.

    Customers are sorted by how often they buy (rank 0 buys most). Merchants are grouped in niches of
    MERCHANTS_PER_NICHE: index = (country * len(CATEGORIES) + category) * MERCHANTS_PER_NICHE + rank.

    Attributes:
        home: country index of each customer, shape (CUSTOMERS,).
        keys: Kafka key of each customer (the id) as bytes, shape (CUSTOMERS,).
        customer_json: ``"customer_id":"..."`` for each customer.
        merchant_json: ``"merchant":"...","category":"..."`` for each merchant.
        channel_json: ``"channel":"...","city":"..."`` for each merchant.
        card_json: ``"card_last4":"..."`` for each customer.
    """

    home: npt.NDArray[np.intp]
    keys: Bytes
    customer_json: Bytes
    merchant_json: Bytes
    channel_json: Bytes
    card_json: Bytes


def build_population(seed: int | None) -> Population:
    """Builds the population in about half a second. The same seed and version of Faker give the same one.

    Args:
        seed: None gives the default population, so that an unseeded service keeps its customers after a restart.
    """
    seed = DEFAULT_SEED if seed is None else seed
    fakers = [_faker(country.locale, seed) for country in COUNTRIES]
    chooser = random.Random(seed)
    home = chooser.choices(range(len(COUNTRIES)), [country.weight for country in COUNTRIES], k=CUSTOMERS)
    numbers = chooser.sample(range(10_000_000, 100_000_000), CUSTOMERS)
    ids = [f"{COUNTRIES[country].code}-{number}" for country, number in zip(home, numbers, strict=True)]
    merchants = [
        _merchant(fakers[country], category)
        for country in range(len(COUNTRIES))
        for category in range(len(CATEGORIES))
        for _ in range(MERCHANTS_PER_NICHE)
    ]
    return Population(
        home=np.array(home, dtype=np.intp),
        keys=_array([name.encode() for name in ids]),
        customer_json=_array([_members(customer_id=name) for name in ids]),
        merchant_json=_array([first for first, _ in merchants]),
        channel_json=_array([second for _, second in merchants]),
        card_json=_array([_members(card_last4=fakers[country].credit_card_number()[-4:]) for country in home]),
    )


def _faker(locale: str, seed: int) -> Faker:
    fake = Faker(locale)
    fake.seed_instance(f"{seed}:{locale}")
    return fake


def _merchant(fake: Faker, category: int) -> tuple[bytes, bytes]:
    kind = CATEGORIES[category]
    channel = "online" if kind.online else "till"
    return _members(merchant=fake.company(), category=kind.name), _members(channel=channel, city=fake.city())


def _members(**members: str) -> bytes:
    """Returns the members of a compact JSON object, without its braces."""
    return json.dumps(members, ensure_ascii=False, separators=(",", ":"))[1:-1].encode()


def _array(values: list[bytes]) -> Bytes:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array
