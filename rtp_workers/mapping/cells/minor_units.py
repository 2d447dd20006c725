"""How many digits a currency's minor unit has: 2 for a cent, 0 for a yen. ISO 4217, list one, and no other source."""

from __future__ import annotations

USUAL_DIGITS = 2
_DIGITS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
_BY_CODE = {code: digits for digits, codes in _DIGITS.items() for code in codes.split()}


def minor_digits(currency: str) -> int:
    """Returns the digits after the point of an ISO 4217 code; 2 for one that the list does not have."""
    return _BY_CODE.get(currency, USUAL_DIGITS)
