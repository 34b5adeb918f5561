"""Pay: an amount or a range, its currency and period, as far as the posting says."""

from dataclasses import dataclass
from enum import StrEnum

from agents.domain.errors import InvalidValue
from agents.domain.rates import in_usd


class Period(StrEnum):
    """What a pay is for. ONCE is a prize, a grant or a fixed price."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"
    ONCE = "once"


# Full-time working time: 40 hours, 5 days, 52 weeks.
_PER_YEAR = {
    Period.HOUR: 2080.0,
    Period.DAY: 260.0,
    Period.WEEK: 52.0,
    Period.MONTH: 12.0,
    Period.YEAR: 1.0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pay:
    """What a posting says it pays. Unknown parts are None; `text` is the posting's own wording."""

    min: float | None = None
    max: float | None = None
    currency: str | None = None
    period: Period | None = None
    text: str

    def __post_init__(self) -> None:
        for field, amount in (("pay.min", self.min), ("pay.max", self.max)):
            if amount is not None and not 0 <= amount < 1e15:
                raise InvalidValue(field, f"{amount:g}", "0 or more")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise InvalidValue("pay", f"min {self.min:g} over max {self.max:g}", "min up to max")


@dataclass(frozen=True, slots=True, kw_only=True)
class MinPay:
    """The least a person wants, all of it known."""

    amount: float
    currency: str
    period: Period

    def __post_init__(self) -> None:
        if not 0 < self.amount < 1e12:
            raise InvalidValue("min pay", f"{self.amount:g}", "an amount over 0")

    def __str__(self) -> str:
        amount = f"{self.amount:,.2f}".removesuffix(".00")
        return f"{amount} {self.currency}/{self.period}"


class PayVerdict(StrEnum):
    """What is known of a pay beside a minimum."""

    LESS = "less"
    ENOUGH = "enough"
    UNKNOWN = "unknown"


def compare(pay: Pay | None, wanted: MinPay) -> PayVerdict:
    """Whether `pay` reaches `wanted`: LESS only where that is known beyond the rates' roughness.

    Amounts of one currency are compared exactly; of two at the dated rates of `rates.py`, within
    a margin of 10 %. A sum paid once and a wage over time can't be compared.
    """
    if pay is None or pay.currency is None or pay.period is None:
        return PayVerdict.UNKNOWN
    factor = _factor(pay.currency, pay.period, wanted)
    if factor is None:
        return PayVerdict.UNKNOWN
    margin = 1.0 if pay.currency == wanted.currency else 1.1
    if pay.max is not None and pay.max * factor * margin < wanted.amount:
        return PayVerdict.LESS
    best = pay.max if pay.max is not None else pay.min
    if best is not None and best * factor >= wanted.amount:
        return PayVerdict.ENOUGH
    return PayVerdict.UNKNOWN


def _factor(currency: str, period: Period, wanted: MinPay) -> float | None:
    """What to multiply an amount with to get it in the wanted currency and period."""
    if (period is Period.ONCE) != (wanted.period is Period.ONCE):
        return None
    time = 1.0 if period is Period.ONCE else _PER_YEAR[period] / _PER_YEAR[wanted.period]
    if currency == wanted.currency:
        return time
    source, target = in_usd(currency), in_usd(wanted.currency)
    return None if source is None or target is None else time * source / target
