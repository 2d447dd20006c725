"""The constants of the generated world: countries, categories, and the rhythm of a day and a week.

The figures are plausible, not measured. They give the stream the shapes of real feeds (skew, heavy tails, rhythm), so
that it exercises charts, indexes and partitions as a real feed would.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Country:
    """A home market.

    Attributes:
        code: ISO 3166 alpha-2.
        locale: Faker's name of the locale for names of people and companies.
        currency: ISO 4217.
        per_euro: how many units of the currency stand for one euro.
        decimals: digits after the point in its prices.
        utc_offset_h: hours that its clocks are ahead of UTC, without daylight saving, which would only blur the rhythm.
        weight: its share of the customers, relative to the others.
    """

    code: str
    locale: str
    currency: str
    per_euro: float
    decimals: int
    utc_offset_h: int
    weight: float


COUNTRIES: tuple[Country, ...] = (
    Country("DE", "de_DE", "EUR", 1.0, 2, 1, 22),
    Country("FR", "fr_FR", "EUR", 1.0, 2, 1, 14),
    Country("GB", "en_GB", "GBP", 0.86, 2, 0, 14),
    Country("US", "en_US", "USD", 1.08, 2, -5, 16),
    Country("ES", "es_ES", "EUR", 1.0, 2, 1, 8),
    Country("IT", "it_IT", "EUR", 1.0, 2, 1, 8),
    Country("NL", "nl_NL", "EUR", 1.0, 2, 1, 6),
    Country("PL", "pl_PL", "PLN", 4.3, 2, 1, 5),
    Country("SE", "sv_SE", "SEK", 11.4, 2, 1, 3),
    Country("JP", "ja_JP", "JPY", 162.0, 0, 9, 3),
    Country("BR", "pt_BR", "BRL", 5.9, 2, -3, 1.5),
    Country("IN", "en_IN", "INR", 90.0, 2, 5, 1.5),
)


@dataclass(frozen=True, slots=True)
class Category:
    """A kind of purchase.

    Attributes:
        name: as written in the record.
        median_eur: median of the log-normal amount, in euros.
        sigma: its standard deviation on the log scale.
        weight: share of purchases, relative to the others.
        online: True if it is bought in a web shop, False at a till.
        peak_h: local hour around which most purchases happen.
    """

    name: str
    median_eur: float
    sigma: float
    weight: float
    online: bool
    peak_h: int


CATEGORIES: tuple[Category, ...] = (
    Category("groceries", 27, 0.65, 26, False, 17),
    Category("dining", 21, 0.60, 17, False, 19),
    Category("transport", 8, 0.70, 13, False, 8),
    Category("fuel", 52, 0.35, 6, False, 16),
    Category("online_shopping", 38, 0.90, 15, True, 21),
    Category("electronics", 145, 0.85, 3, True, 20),
    Category("travel", 210, 0.90, 2.5, True, 20),
    Category("health", 32, 0.70, 4.5, False, 11),
    Category("entertainment", 14, 0.60, 8, True, 21),
    Category("utilities", 78, 0.45, 5, True, 10),
)
ONLINE = np.array([category.online for category in CATEGORIES])

METHODS: tuple[str, ...] = ("card", "contactless", "wallet", "bank_transfer", "cash")
METHOD_SHARES_TILL = (0.30, 0.44, 0.13, 0.0, 0.13)
METHOD_SHARES_ONLINE = (0.52, 0.0, 0.34, 0.14, 0.0)
CARD = METHODS.index("card")

STATUSES: tuple[str, ...] = ("booked", "declined", "refunded")
BOOKED, DECLINED, REFUNDED = range(3)

HOURS_PER_WEEK = 168
# Purchases of an average local weekday, hour by hour from midnight; and of a weekend day: later, and fewer.
_WEEKDAY = (4, 2, 1, 1, 2, 8, 28, 62, 80, 66, 64, 78, 98, 84, 70, 72, 86, 104, 100, 82, 62, 46, 26, 11)
_WEEKEND = (10, 6, 4, 2, 2, 3, 8, 18, 38, 60, 78, 88, 90, 84, 78, 74, 70, 68, 66, 60, 50, 40, 28, 18)


def weekly_activity() -> npt.NDArray[np.float64]:
    """Returns 168 relative intensities by local hour of the week, from Monday midnight; their mean is 1."""
    week = np.array(_WEEKDAY * 5 + _WEEKEND * 2, dtype=np.float64)
    activity: npt.NDArray[np.float64] = week / week.mean()
    return activity


def category_mix() -> npt.NDArray[np.float64]:
    """Returns cumulative category shares, shape (24 local hours, categories); each row ends at 1."""
    hours = np.arange(24)[:, None]
    peaks = np.array([category.peak_h for category in CATEGORIES])
    distance = np.abs(hours - peaks)
    nearness = np.exp(-((np.minimum(distance, 24 - distance) / 5.0) ** 2))
    shares = np.array([category.weight for category in CATEGORIES]) * (0.35 + nearness)
    cumulative: npt.NDArray[np.float64] = np.cumsum(shares, axis=1)
    return cumulative / cumulative[:, -1:]


def zipf_cumulative(count: int, exponent: float) -> npt.NDArray[np.float64]:
    """Returns the cumulative distribution of a Zipf-Mandelbrot law over `count` ranks (shift 2.7, as in texts)."""
    cumulative: npt.NDArray[np.float64] = np.cumsum((np.arange(count) + 2.7) ** -exponent)
    cumulative /= cumulative[-1]
    return cumulative
