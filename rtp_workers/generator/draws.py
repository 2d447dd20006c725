"""Draws transactions in blocks of columns. A block's size is fixed, so the stream does not depend on how it is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rtp_workers.generator.markets import (
    BOOKED,
    CARD,
    CATEGORIES,
    COUNTRIES,
    DECLINED,
    HOURS_PER_WEEK,
    METHOD_SHARES_ONLINE,
    METHOD_SHARES_TILL,
    ONLINE,
    REFUNDED,
    category_mix,
    weekly_activity,
    zipf_cumulative,
)
from rtp_workers.generator.population import CUSTOMERS, MERCHANTS_PER_NICHE, Population

BLOCK = 4_096
ABROAD = 0.04
DECLINE = 0.025
REFUND = 0.02
BURSTS_PER_BLOCK = 1.2
BURST_STEP = 3  # a burst takes every third slot, so it is fast but still mixed with other people's purchases
MONDAY_H = 96  # 1970-01-05, the first Monday, in hours since the epoch
FIRST_ONLINE_SHOP = next(index for index, category in enumerate(CATEGORIES) if category.online)

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(slots=True)
class Block:
    """BLOCK transactions as columns of that length.

    Attributes:
        customer, merchant: indexes into the population.
        country: index of the country of the purchase.
        method, status: indexes into METHODS and STATUSES.
        minor: amount in the customer's currency's smallest unit (cents, yen), negative for refunds.
        id_bits: 62 random bits for each id.
        refund_of: slot -> transaction id of the purchase that it refunds; only slots that are refunds.
    """

    customer: Ints
    merchant: Ints
    country: Ints
    method: Ints
    status: Ints
    minor: Ints
    id_bits: npt.NDArray[np.uint64]
    refund_of: dict[int, str]


@dataclass(frozen=True, slots=True)
class Purchase:
    """A booked purchase that can still be refunded, once."""

    transaction_id: str
    customer: int
    merchant: int
    country: int
    method: int
    minor: int


class Drawer:
    """Draws blocks from a population. The same random state gives the same blocks."""

    def __init__(self, population: Population, rng: np.random.Generator) -> None:
        self._population = population
        self._rng = rng
        self._mix = category_mix()
        self._merchant_ranks = zipf_cumulative(MERCHANTS_PER_NICHE, 1.1)
        self._methods = np.cumsum([METHOD_SHARES_TILL, METHOD_SHARES_ONLINE], axis=1)
        self._per_euro = np.array([country.per_euro * 10**country.decimals for country in COUNTRIES])
        self._offsets = np.array([country.utc_offset_h for country in COUNTRIES])
        self._medians = np.log([category.median_eur for category in CATEGORIES])
        self._sigmas = np.array([category.sigma for category in CATEGORIES])
        self._activity = weekly_activity()
        ranks = np.diff(zipf_cumulative(CUSTOMERS, 0.9), prepend=0.0)
        self._customer_shares = ranks
        self._by_hour: dict[int, Floats] = {}

    def intensity(self) -> Floats:
        """Returns 168 relative purchase rates by UTC hour of the week, from Monday midnight; their mean is 1."""
        rates = np.array([self._weights(hour).sum() for hour in range(HOURS_PER_WEEK)])
        relative: Floats = rates / rates.mean()
        return relative

    def draw(self, hours: Ints, purchases: Sequence[Purchase]) -> tuple[Block, frozenset[int]]:
        """Draws the next block.

        Args:
            hours: the UTC hour since the epoch of each slot, shape (BLOCK,).
            purchases: what can be refunded, each by one slot at most.

        Returns:
            The block, and the indexes of the `purchases` that it refunds.
        """
        rng = self._rng
        week_hours = (hours - MONDAY_H) % HOURS_PER_WEEK
        customer = self._customers(week_hours, rng.random(BLOCK))
        home = self._population.home[customer]
        local_hours = (hours + self._offsets[home]) % 24
        category = (rng.random(BLOCK)[:, None] > self._mix[local_hours]).sum(axis=1)
        elsewhere = (rng.random(BLOCK) * len(COUNTRIES)).astype(np.int64)
        country = np.where(rng.random(BLOCK) < ABROAD, elsewhere, home)
        rank = np.searchsorted(self._merchant_ranks, rng.random(BLOCK))
        euros = np.exp(self._medians[category] + self._sigmas[category] * rng.standard_normal(BLOCK))
        method = (rng.random(BLOCK)[:, None] > self._methods[ONLINE[category].astype(int)]).sum(axis=1)
        block = Block(
            customer=customer,
            merchant=(country * len(CATEGORIES) + category) * MERCHANTS_PER_NICHE + rank,
            country=country,
            method=method,
            status=self._statuses(euros),
            minor=np.zeros(BLOCK, dtype=np.int64),
            id_bits=rng.integers(0, 1 << 62, BLOCK, dtype=np.uint64),
            refund_of={},
        )
        self._add_bursts(block, euros)
        block.minor = self._minor(euros, block.customer)
        return block, self._add_refunds(block, purchases)

    def _customers(self, week_hours: Ints, uniform: Floats) -> Ints:
        customer = np.empty(BLOCK, dtype=np.int64)
        for hour in np.unique(week_hours):
            slots = week_hours == hour
            customer[slots] = np.searchsorted(self._cumulative(int(hour)), uniform[slots])
        return customer

    def _weights(self, week_hour: int) -> Floats:
        """Returns how often each customer buys in that UTC hour of the week: its rank's share times local rhythm."""
        local = (week_hour + self._offsets[self._population.home]) % HOURS_PER_WEEK
        weights: Floats = self._customer_shares * self._activity[local]
        return weights

    def _cumulative(self, week_hour: int) -> Floats:
        if week_hour not in self._by_hour:
            cumulative = np.cumsum(self._weights(week_hour))
            self._by_hour[week_hour] = cumulative / cumulative[-1]
        return self._by_hour[week_hour]

    def _statuses(self, euros: Floats) -> Ints:
        """Returns BOOKED or DECLINED for each slot. The larger the amount, the likelier it is declined."""
        chance = DECLINE * np.clip(euros / 50, 0.5, 6)
        statuses: Ints = np.where(self._rng.random(BLOCK) < chance, DECLINED, BOOKED)
        return statuses

    def _minor(self, euros: Floats, customer: Ints) -> Ints:
        units = np.rint(euros * self._per_euro[self._population.home[customer]])
        minor: Ints = np.maximum(units, 1).astype(np.int64)
        return minor

    def _add_bursts(self, block: Block, euros: Floats) -> None:
        """Adds card testing: many small amounts on one card at web shops in a short time, then a large one."""
        rng = self._rng
        for _ in range(int(rng.poisson(BURSTS_PER_BLOCK))):
            size = 8 + int(rng.random() * 18)
            first = int(rng.random() * (BLOCK - size * BURST_STEP))
            slots = first + BURST_STEP * np.arange(size)
            block.customer[slots] = int(rng.random() * CUSTOMERS)
            block.country[slots] = int(rng.random() * len(COUNTRIES))
            niche = (block.country[slots] * len(CATEGORIES) + FIRST_ONLINE_SHOP) * MERCHANTS_PER_NICHE
            block.merchant[slots] = niche + (rng.random(size) * MERCHANTS_PER_NICHE).astype(np.int64)
            block.method[slots] = CARD
            euros[slots] = 0.5 + 2.5 * rng.random(size)
            euros[slots[-1]] = 600 + 2_400 * rng.random()
            block.status[slots] = np.where(rng.random(size) < 0.2, DECLINED, BOOKED)

    def _add_refunds(self, block: Block, purchases: Sequence[Purchase]) -> frozenset[int]:
        """Turns some slots into full or partial refunds of `purchases`, and returns the indexes of these purchases."""
        slots = np.flatnonzero(self._rng.random(BLOCK) < REFUND)
        parts = np.where(self._rng.random(slots.size) < 0.7, 1.0, self._rng.random(slots.size))
        chosen = self._rng.permutation(len(purchases))[: slots.size]
        for slot, index, part in zip(slots.tolist(), chosen.tolist(), parts.tolist(), strict=False):
            bought = purchases[index]
            block.customer[slot] = bought.customer
            block.merchant[slot] = bought.merchant
            block.country[slot] = bought.country
            block.method[slot] = bought.method
            block.status[slot] = REFUNDED
            block.minor[slot] = -max(1, round(bought.minor * part))
            block.refund_of[slot] = bought.transaction_id
        return frozenset(chosen.tolist())
