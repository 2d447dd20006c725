"""Turns a block's columns into JSON bodies: the same bytes as `record.codec.encode` writes, but many times faster.

Parts of fixed width (id, time) are written for all records into one array of bytes. The other parts are ready-made
fragments that are looked up. One ``join`` per record puts the parts together.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rtp_workers.generator.draws import Block, Ints
from rtp_workers.generator.markets import COUNTRIES, METHODS, STATUSES
from rtp_workers.generator.population import Population

_HEAD = (
    b'{"transaction_id":"00000000-0000-0000-0000-000000000000","occurred_at":"0000-00-00T00:00:00.000000Z","amount":"'
)
_ID_AT = _HEAD.index(b"00000000-")
_TIME_AT = _HEAD.index(b"0000-00-00T")
_HEX_COLUMNS = np.array([place for place in range(36) if place not in (8, 13, 18, 23)])
_HEX_DIGITS = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)
_VERSION_7 = np.uint64(0x7000)
_VARIANT = np.uint64(0x8000_0000_0000_0000)

Matrix = npt.NDArray[np.uint8]


def uuid7_digits(times_us: Ints, id_bits: npt.NDArray[np.uint64]) -> Matrix:
    """Returns UUIDv7 texts as ASCII, shape (n, 36).

    RFC 9562 section 6.2, method 3: the 12 bits after the version hold the fraction of the millisecond, so ids sort
    in the order of their times.

    Args:
        times_us: microseconds since the epoch, UTC.
        id_bits: 62 random bits for each.
    """
    times = times_us.astype(np.uint64)
    millis, micros = times // np.uint64(1000), times % np.uint64(1000)
    words = np.empty((len(times), 2), dtype=">u8")
    words[:, 0] = (millis << np.uint64(16)) | _VERSION_7 | (micros * np.uint64(4096) // np.uint64(1000))
    words[:, 1] = _VARIANT | id_bits
    octets = words.view(np.uint8)
    digits = np.full((len(times), 36), ord("-"), dtype=np.uint8)
    digits[:, _HEX_COLUMNS[0::2]] = _HEX_DIGITS[octets >> 4]
    digits[:, _HEX_COLUMNS[1::2]] = _HEX_DIGITS[octets & 15]
    return digits


def ids_of(times_us: Ints, id_bits: npt.NDArray[np.uint64]) -> list[str]:
    """Returns the UUIDv7 texts of these times and random bits."""
    digits = uuid7_digits(times_us, id_bits)
    return [octets.decode() for octets in _rows(digits)]


class Encoder:
    """Turns slices of blocks into JSON bodies and Kafka keys."""

    def __init__(self, population: Population) -> None:
        self._population = population
        self._terms = _terms()
        self._decimals = np.array([country.decimals for country in COUNTRIES])

    def encode(self, block: Block, slots: slice, times_us: Ints, id_times_us: Ints) -> tuple[list[bytes], list[bytes]]:
        """Encodes the slots of a block.

        Args:
            block: the columns.
            slots: which of them, a plain slice of `block`.
            times_us: occurred_at of each slot, microseconds since the epoch.
            id_times_us: the time inside each slot's id. It is the stream's own time, even for a late record.

        Returns:
            Keys (customer ids) and values (JSON), in the order of the slots.
        """
        people = self._population
        customer, merchant = block.customer[slots], block.merchant[slots]
        home = people.home[customer]
        tails = [b"}}"] * len(customer)
        for slot, purchase in block.refund_of.items():
            if slots.start <= slot < slots.stop:
                tails[slot - slots.start] = b',"refund_of":"%b"}}' % purchase.encode()
        values = map(
            b"".join,
            zip(
                _rows(_heads(times_us, uuid7_digits(id_times_us, block.id_bits[slots]))),
                self._amounts(block.minor[slots], home),
                people.customer_json[customer].tolist(),
                [b","] * len(customer),
                people.merchant_json[merchant].tolist(),
                self._terms[home, block.method[slots], block.status[slots], block.country[slots]].tolist(),
                people.channel_json[merchant].tolist(),
                [b","] * len(customer),
                people.card_json[customer].tolist(),
                tails,
                strict=True,
            ),
        )
        return people.keys[customer].tolist(), list(values)

    def _amounts(self, minor: Ints, home: Ints) -> list[bytes]:
        """Returns plain decimals with the currency's number of digits, and the quote and comma that follow."""
        amounts = [b'%b%d.%02d",' % (b"-" if cents < 0 else b"", *divmod(abs(cents), 100)) for cents in minor.tolist()]
        for index in np.flatnonzero(self._decimals[home] == 0).tolist():
            amounts[index] = b'%d",' % minor[index]
        return amounts


def _heads(times_us: Ints, id_digits: Matrix) -> Matrix:
    heads = np.empty((len(times_us), len(_HEAD)), dtype=np.uint8)
    heads[:] = np.frombuffer(_HEAD, dtype=np.uint8)
    heads[:, _ID_AT : _ID_AT + 36] = id_digits
    texts = np.datetime_as_string(times_us.view("datetime64[us]")).astype("S26")
    heads[:, _TIME_AT : _TIME_AT + 26] = texts.view(np.uint8).reshape(len(times_us), 26)
    return heads


def _rows(matrix: Matrix) -> list[bytes]:
    """Returns each row as bytes. numpy drops NULs at the end of a text, but no row ends in NUL."""
    rows: list[bytes] = np.ascontiguousarray(matrix).reshape(-1).view(f"S{matrix.shape[1]}").tolist()
    return rows


def _terms() -> npt.NDArray[np.object_]:
    """Returns the members between merchant and attributes, shape (homes, methods, statuses, countries)."""
    terms = np.empty((len(COUNTRIES), len(METHODS), len(STATUSES), len(COUNTRIES)), dtype=object)
    for (home, method, status, country), _ in np.ndenumerate(terms):
        terms[home, method, status, country] = (
            f',"currency":"{COUNTRIES[home].currency}","payment_method":"{METHODS[method]}",'
            f'"status":"{STATUSES[status]}","country":"{COUNTRIES[country].code}","attributes":{{'
        ).encode()
    return terms
