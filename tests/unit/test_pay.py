"""Pay, the minimum a person wants, and what is known of one beside the other."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.domain.errors import InvalidValue
from agents.domain.pay import MinPay, Pay, PayVerdict, Period, compare
from agents.domain.rates import CURRENCIES, STABLECOINS, in_usd

LESS, ENOUGH, UNKNOWN = PayVerdict.LESS, PayVerdict.ENOUGH, PayVerdict.UNKNOWN


def pay(
    low: float | None,
    high: float | None,
    currency: str | None = "USD",
    period: Period | None = Period.YEAR,
) -> Pay:
    """A pay whose wording does not matter."""
    return Pay(min=low, max=high, currency=currency, period=period, text="as stated")


def wanted(amount: float, currency: str = "USD", period: Period = Period.YEAR) -> MinPay:
    """A minimum."""
    return MinPay(amount=amount, currency=currency, period=period)


@pytest.mark.parametrize(
    ("low", "high", "field"),
    [
        (-1, None, "pay.min"),
        (None, -0.01, "pay.max"),
        (math.nan, None, "pay.min"),
        (None, math.inf, "pay.max"),
        (1e15, None, "pay.min"),
        (2, 1, "pay"),
    ],
)
def test_impossible_pay_is_refused(low: float | None, high: float | None, field: str) -> None:
    """A negative, endless or upside-down pay can't be made, and the error names the field."""
    with pytest.raises(InvalidValue) as refused:
        pay(low, high)
    assert refused.value.field == field


@pytest.mark.parametrize("amount", [0, -1, math.nan, math.inf, 1e12])
def test_impossible_minimum_is_refused(amount: float) -> None:
    """A minimum is an amount over zero that a person could mean."""
    with pytest.raises(InvalidValue, match="min pay"):
        wanted(amount)


@pytest.mark.parametrize(
    ("minimum", "texts"),
    [
        (wanted(60_000, "EUR"), {"60,000 EUR/year"}),
        (wanted(50, "USD", Period.HOUR), {"50 USD/hour"}),
        (wanted(17.5, "USD", Period.HOUR), {"17.5 USD/hour", "17.50 USD/hour"}),
    ],
)
def test_a_minimum_is_shown_as_it_was_given(minimum: MinPay, texts: set[str]) -> None:
    """People read their minimum back as they gave it, cents included."""
    assert str(minimum) in texts


@pytest.mark.parametrize(
    ("offer", "minimum", "verdict"),
    [
        pytest.param(None, wanted(1), UNKNOWN, id="no pay stated"),
        pytest.param(pay(90, 100, None), wanted(1), UNKNOWN, id="no currency"),
        pytest.param(pay(90, 100, "USD", None), wanted(1), UNKNOWN, id="no period"),
        pytest.param(pay(None, None), wanted(1), UNKNOWN, id="no amount"),
        pytest.param(pay(50_000, 60_000), wanted(60_000), ENOUGH, id="the top reaches it"),
        pytest.param(pay(50_000, 59_999), wanted(60_000), LESS, id="one dollar short"),
        pytest.param(pay(60_000, None), wanted(60_000), ENOUGH, id="from the minimum on"),
        pytest.param(pay(50_000, None), wanted(60_000), UNKNOWN, id="from less, no top"),
        pytest.param(pay(None, 59_999), wanted(60_000), LESS, id="up to less"),
        pytest.param(pay(None, 60_000), wanted(60_000), ENOUGH, id="up to the minimum"),
        pytest.param(pay(0, 0), wanted(1), LESS, id="unpaid"),
        pytest.param(pay(50, 50, "USD", Period.HOUR), wanted(104_000), ENOUGH, id="hour to year"),
        pytest.param(pay(49, 49, "USD", Period.HOUR), wanted(104_000), LESS, id="hour falls short"),
        pytest.param(pay(5_000, 5_000, "USD", Period.MONTH), wanted(60_000), ENOUGH, id="month"),
        pytest.param(pay(400, 400, "USD", Period.DAY), wanted(104_000), ENOUGH, id="day"),
        pytest.param(pay(2_000, 2_000, "USD", Period.WEEK), wanted(104_000), ENOUGH, id="week"),
        pytest.param(
            pay(60_000, 60_000), wanted(5_000, "USD", Period.MONTH), ENOUGH, id="year to month"
        ),
        pytest.param(pay(5e3, 5e3, "USD", Period.ONCE), wanted(5e3), UNKNOWN, id="prize or wage"),
        pytest.param(
            pay(5e3, 5e3), wanted(5e3, "USD", Period.ONCE), UNKNOWN, id="wage beside a prize"
        ),
        pytest.param(
            pay(500, 500, "USD", Period.ONCE),
            wanted(1_000, "USD", Period.ONCE),
            LESS,
            id="a smaller prize",
        ),
        pytest.param(
            pay(1_000, 1_000, "USDC", Period.ONCE),
            wanted(1_000, "USD", Period.ONCE),
            ENOUGH,
            id="a stablecoin is a dollar",
        ),
        pytest.param(pay(60_000, 60_000, "EUR"), wanted(60_000), ENOUGH, id="euros are more"),
        pytest.param(
            pay(57_000, 57_000), wanted(60_000, "EUR"), UNKNOWN, id="within the rates' margin"
        ),
        pytest.param(pay(50_000, 50_000), wanted(60_000, "EUR"), LESS, id="beyond the margin"),
        pytest.param(pay(5, 5, "ETH"), wanted(1), UNKNOWN, id="a token has no rate"),
        pytest.param(pay(5, 5, "ETH"), wanted(1, "ETH"), ENOUGH, id="a token beside itself"),
        pytest.param(pay(5, 5), wanted(1, "ETH"), UNKNOWN, id="a minimum without a rate"),
    ],
)
def test_pay_beside_a_minimum(offer: Pay | None, minimum: MinPay, verdict: PayVerdict) -> None:
    """LESS and ENOUGH only where that is known; everything else is UNKNOWN."""
    assert compare(offer, minimum) is verdict


@given(
    amount=st.integers(1, 10**9),
    currency=st.sampled_from(sorted(CURRENCIES)),
    period=st.sampled_from(list(Period)),
)
def test_every_pay_is_enough_for_itself(amount: int, currency: str, period: Period) -> None:
    """Whoever wants exactly what is paid gets ENOUGH, in every currency and period."""
    assert compare(pay(amount, amount, currency, period), wanted(amount, currency, period)) is (
        ENOUGH
    )


@given(
    offer=st.integers(1, 10**6),
    least=st.integers(1, 10**6),
    more=st.integers(0, 10**6),
    currencies=st.tuples(*[st.sampled_from(sorted(CURRENCIES))] * 2),
    periods=st.tuples(*[st.sampled_from([p for p in Period if p is not Period.ONCE])] * 2),
)
def test_wanting_less_never_turns_enough_into_less(
    offer: int,
    least: int,
    more: int,
    currencies: tuple[str, str],
    periods: tuple[Period, Period],
) -> None:
    """A pay that is enough for a minimum is enough for every lower one."""
    posted = pay(offer, offer, currencies[0], periods[0])
    if compare(posted, wanted(least + more, currencies[1], periods[1])) is ENOUGH:
        assert compare(posted, wanted(least, currencies[1], periods[1])) is ENOUGH


def test_stablecoins_are_worth_one_dollar_and_unknown_codes_nothing_known() -> None:
    """Rates exist for every currency a minimum may be given in, and for no other."""
    assert {in_usd(coin) for coin in STABLECOINS} == {1.0}
    assert in_usd("USD") == 1.0
    assert all(in_usd(code) for code in CURRENCIES)
    assert in_usd("XYZ") is None
