"""Rough exchange rates, only for telling whether a pay can reach a minimum.

Units of a currency for one euro, about the end of December 2024, rounded. They were not checked
against a central bank's table, and they age: `pay.compare` leaves a margin, and nothing else uses
them.
"""

_PER_EUR = {
    "EUR": 1.0, "USD": 1.04, "GBP": 0.83, "CHF": 0.94, "JPY": 163.0, "INR": 88.9, "CAD": 1.49,
    "AUD": 1.68, "NZD": 1.85, "SEK": 11.5, "NOK": 11.8, "DKK": 7.46, "PLN": 4.28, "CZK": 25.2,
    "HUF": 411.0, "RON": 4.97, "BGN": 1.956, "TRY": 36.7, "BRL": 6.43, "MXN": 21.6, "SGD": 1.42,
    "HKD": 8.07, "CNY": 7.58, "KRW": 1532.0, "THB": 35.7, "IDR": 16821.0, "MYR": 4.65,
    "PHP": 60.3, "ILS": 3.79, "ZAR": 19.6, "NGN": 1600.0, "KES": 134.0, "AED": 3.82,
    "ARS": 1070.0, "UAH": 43.7, "VND": 26500.0, "PKR": 289.0, "EGP": 52.8,
}  # fmt: skip

STABLECOINS = frozenset({"USDC", "USDT", "DAI", "BUSD"})
"""Tokens worth one US dollar by design."""

CURRENCIES = frozenset(_PER_EUR) | STABLECOINS
"""Codes that a minimum may be given in."""


def in_usd(currency: str) -> float | None:
    """US dollars for one unit of `currency`, or None when no rate is known."""
    if currency in STABLECOINS:
        return 1.0
    rate = _PER_EUR.get(currency)
    return None if rate is None else _PER_EUR["USD"] / rate
