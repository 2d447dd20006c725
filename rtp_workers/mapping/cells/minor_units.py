"""How many digits a currency's minor unit has: 2 for a cent, 0 for a yen. The source is ISO 4217, list one."""

from __future__ import annotations

USUAL_DIGITS = 2
_DIGITS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
_BY_CODE = {code: digits for digits, codes in _DIGITS.items() for code in codes.split()}


def minor_digits(currency: str) -> int:
    """Returns the digits after the point for an ISO 4217 code; 2 for a code that is not in the list."""
    return _BY_CODE.get(currency, USUAL_DIGITS)
