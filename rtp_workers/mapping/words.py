"""Words that stand in cells: directions, balance lines, months, currencies, countries."""

from __future__ import annotations

import tomllib
from functools import lru_cache
from importlib.resources import files
from typing import Any

from rtp_workers.mapping.names import normalise

# ISO 4217 codes in use, and the older ones that exports still hold.
CURRENCIES = frozenset(
    "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF"
    " CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HRK"
    " HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL"
    " MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON"
    " RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SLL SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS"
    " UAH UGX USD UYU UZS VES VND VUV WST XAF XCD XOF XPF YER ZAR ZMW ZWL DEM FRF ITL ESP NLG BEF ATS PTE FIM IEP GRD"
    " LTL LVL EEK SKK CNH".split()
)
CRYPTO = frozenset("BTC ETH LTC XRP BCH ADA DOT SOL XLM EOS TRX UNI DAI ETC XMR BNB ZEC ATOM LINK USDT USDC DOGE".split())
# Names of one currency's language that files write instead of a code.
CURRENCY_NAMES = {"人民币": "CNY", "人民币元": "CNY", "rmb": "CNY", "euro": "EUR", "euros": "EUR", "us dollar": "USD", "日元": "JPY", "美元": "USD", "港币": "HKD", "forint": "HUF", "sterling": "GBP", "rub": "RUB", "rur": "RUB", "руб": "RUB", "新台币": "TWD", "신": "KRW"}


@lru_cache(maxsize=1)
def _tables() -> dict[str, Any]:
    return tomllib.loads(files("rtp_workers.mapping").joinpath("words.toml").read_text("utf-8"))


@lru_cache(maxsize=1)
def direction_words() -> dict[str, str]:
    """Returns normalised word -> ``debit``, ``credit`` or ``neutral``."""
    table = _tables()["direction"]
    return {normalise(word): kind for kind in ("neutral", "credit", "debit") for word in table[kind]}


@lru_cache(maxsize=1)
def direction_codes() -> frozenset[str]:
    """Returns words that mean a direction only in a column whose name says so."""
    return frozenset(normalise(word) for word in _tables()["direction"]["codes"])


@lru_cache(maxsize=1)
def months() -> dict[str, int]:
    """Returns normalised month names and abbreviations -> 1..12."""
    return {normalise(name): int(number) for number, names in _tables()["months"].items() for name in names}


@lru_cache(maxsize=1)
def signs() -> tuple[tuple[str, str], ...]:
    """Returns (currency sign, code or ``""``), longest first."""
    return tuple(sorted(_tables()["signs"].items(), key=lambda item: -len(item[0])))


@lru_cache(maxsize=1)
def zones() -> dict[str, int]:
    """Returns zone abbreviation -> minutes east of UTC."""
    return dict(_tables()["zones"])


@lru_cache(maxsize=50_000)
def is_balance_line(cell: str) -> bool:
    """True where the cell's text names a balance or a total instead of a transaction."""
    text = normalise(cell)
    if not text or len(text) > 60:
        return False
    table = _tables()["balance_lines"]
    return text in _whole_lines() or any(text.startswith(start) for start in table["starts"])


@lru_cache(maxsize=1)
def _whole_lines() -> frozenset[str]:
    return frozenset(normalise(text) for text in _tables()["balance_lines"]["whole"])


@lru_cache(maxsize=1)
def _balance_starts() -> frozenset[str]:
    return frozenset(normalise(text)[:4] for text in _tables()["balance_lines"]["starts"])


@lru_cache(maxsize=1)
def _balance_phrases() -> tuple[str, ...]:
    return tuple(normalise(text) for text in _tables()["balance_lines"]["starts"])


def looks_like_balance_line(cell: str) -> bool:
    """True where a description opens like that of a balance; single words (a shop called Total) do not count."""
    if cell[:4].lower() not in _first_letters():
        return False
    text = normalise(cell)
    return len(text) <= 60 and text.startswith(_balance_phrases())


@lru_cache(maxsize=1)
def _first_letters() -> frozenset[str]:
    plain = _balance_starts()
    accented = {text[:4].lower() for text in _tables()["balance_lines"]["starts"]}
    return frozenset(plain | accented | {"eröf", "erof", "nyit", "záró", "zaro"})
