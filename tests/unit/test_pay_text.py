"""Pay as postings and people write it."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agents.discovery.pay_text import parse_min_pay, read_pay, read_period
from agents.domain.errors import InvalidValue
from agents.domain.kind import Kind
from agents.domain.pay import MinPay, Pay, Period

HOUR, DAY, WEEK, MONTH, YEAR, ONCE = Period
PAY_WORDS = [
    "$",
    "60k",
    "80,000",
    "-",
    "EUR",
    "per",
    "year",
    "/hr",
    "12",
    "LPA",
    "€",
    "to",
    "up to",
]
PAY_TEXTS = st.one_of(
    st.text(max_size=60),
    st.lists(st.one_of(st.sampled_from(PAY_WORDS), st.text(max_size=5)), max_size=8).flatmap(
        lambda parts: st.sampled_from(["", " "]).map(lambda blank: blank.join(parts))
    ),
)

Read = tuple[float | None, float | None, str | None, Period | None]


def read(text: str, kind: Kind = Kind.JOB) -> Read:
    """The parts of the pay in a text."""
    pay = read_pay(text, kind)
    assert pay is not None
    assert pay.text == " ".join(text.split())
    return (pay.min, pay.max, pay.currency, pay.period)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # ranges
        ("$60k-80k/yr", (60_000, 80_000, "USD", YEAR)),
        ("£30,000 - £40,000 per annum", (30_000, 40_000, "GBP", YEAR)),
        ("3,043 - 4,565 eur gross monthly", (3_043, 4_565, "EUR", MONTH)),
        ("$100000-$150000", (100_000, 150_000, "USD", None)),
        ("$17.00 - $19.00", (17, 19, "USD", None)),
        ("$120K – $150K", (120_000, 150_000, "USD", None)),
        ("$80,000 to $100,000", (80_000, 100_000, "USD", None)),
        ("between $80,000 and $100,000", (80_000, 100_000, "USD", None)),
        ("$100,000 - $80,000", (80_000, 100_000, "USD", None)),
        ("60-80k EUR", (60_000, 80_000, "EUR", None)),
        ("£30-40k", (30_000, 40_000, "GBP", None)),
        ("80-60k EUR", (60_000, 80_000, "EUR", None)),
        ("$60k-80k USD", (60_000, 80_000, "USD", None)),
        ("USD 60k-80k/yr", (60_000, 80_000, "USD", YEAR)),
        ("EUR 50 - 60 / hour", (50, 60, "EUR", HOUR)),
        ("$50-$60 hourly", (50, 60, "USD", HOUR)),
        ("50-60 per hour", (50, 60, None, HOUR)),
        ("$70,000.00-$90,000.00 Annually", (70_000, 90_000, "USD", YEAR)),
        ("R$ 8.000 - R$ 12.000", (8_000, 12_000, "BRL", None)),
        ("CHF 100'000 - 120'000", (100_000, 120_000, "CHF", None)),
        ("10 000 – 12 000 PLN", (10_000, 12_000, "PLN", None)),
        ("₦14,000,000 - ₦18,000,000 per year", (14_000_000, 18_000_000, "NGN", YEAR)),
        ("S$5,000 - S$7,000 per month", (5_000, 7_000, "SGD", MONTH)),
        ("$60K/yr - $80K/yr", (60_000, 80_000, "USD", YEAR)),
        ("$45.00/hr - $55.00/hr", (45, 55, "USD", HOUR)),
        ("£40,000 per annum - £50,000 per annum", (40_000, 50_000, "GBP", YEAR)),
        ("$1.2M - $1.5M", (1_200_000, 1_500_000, "USD", None)),
        # one amount
        ("€45/hr", (45, 45, "EUR", HOUR)),
        ("1,500 USDC", (1_500, 1_500, "USDC", None)),
        ("10k USDT", (10_000, 10_000, "USDT", None)),
        ("$50/hour", (50, 50, "USD", HOUR)),
        ("$30 an hour", (30, 30, "USD", HOUR)),
        ("$400 a day", (400, 400, "USD", DAY)),
        ("£500 day rate", (500, 500, "GBP", DAY)),
        ("£700 per week", (700, 700, "GBP", WEEK)),
        ("€3000/mo", (3_000, 3_000, "EUR", MONTH)),
        ("£40k p.a.", (40_000, 40_000, "GBP", YEAR)),
        ("¥6,000,000 a year", (6_000_000, 6_000_000, "JPY", YEAR)),
        ("45 000 EUR per year", (45_000, 45_000, "EUR", YEAR)),
        ("50.000 €", (50_000, 50_000, "EUR", None)),
        ("12,50 €", (12.5, 12.5, "EUR", None)),
        ("1.500,50 EUR", (1_500.5, 1_500.5, "EUR", None)),
        ("1,500.50 USD", (1_500.5, 1_500.5, "USD", None)),
        ("$1,234,567.89", (1_234_567.89, 1_234_567.89, "USD", None)),
        ("€31,2k", (31_200, 31_200, "EUR", None)),
        ("1.5 million USD", (1_500_000, 1_500_000, "USD", None)),
        ("$2m", (2_000_000, 2_000_000, "USD", None)),
        ("$50 CAD/hr", (50, 50, "CAD", HOUR)),
        ("CA$90,000/year", (90_000, 90_000, "CAD", YEAR)),
        ("A$120k", (120_000, 120_000, "AUD", None)),
        ("0.5 ETH", (0.5, 0.5, "ETH", None)),
        ("0.125 ETH", (0.125, 0.125, "ETH", None)),
        ("1500 dollars", (1_500, 1_500, "USD", None)),
        ("401k match, $80,000", (80_000, 80_000, "USD", None)),
        ("$80,000 plus 10,000 bonus", (80_000, 80_000, "USD", None)),
        ("$12 - €14", (12, 12, "USD", None)),
        ("€500 - 3 days", (500, 500, "EUR", None)),
        ("$50 100% remote", (50, 50, "USD", None)),
        ("$0", (0, 0, "USD", None)),
        # Indian counting
        ("₹12,00,000 per annum", (1_200_000, 1_200_000, "INR", YEAR)),
        ("12 LPA", (1_200_000, 1_200_000, None, YEAR)),
        ("10-12 LPA", (1_000_000, 1_200_000, None, YEAR)),
        ("₹5 lakh - ₹8 lakh per annum", (500_000, 800_000, "INR", YEAR)),
        ("2.5 lakhs per annum", (250_000, 250_000, None, YEAR)),
        ("₹1 crore", (10_000_000, 10_000_000, "INR", None)),
        ("Rs 25,000 per month", (25_000, 25_000, "INR", MONTH)),
        # one end
        ("Up to $25,000", (None, 25_000, "USD", None)),
        ("maximum $500", (None, 500, "USD", None)),
        ("from $50,000 per year", (50_000, None, "USD", YEAR)),
        ("starting at $20/hr", (20, None, "USD", HOUR)),
        ("at least €50,000 per year", (50_000, None, "EUR", YEAR)),
        ("$50k+", (50_000, None, "USD", None)),
        # nothing certain
        ("Competitive", (None, None, None, None)),
        ("Unpaid", (None, None, None, None)),
        ("60k-80k", (None, None, None, None)),
        ("100", (None, None, None, None)),
        ("twenty dollars", (None, None, None, None)),
        ("5% equity", (None, None, None, None)),
        ("999999999999999999999999 USD", (None, None, None, None)),
    ],
)
def test_pay_in_a_text(text: str, expected: Read) -> None:
    """Amounts, currency and period as stated; parts that aren't stated are None."""
    assert read(text)[:2] == pytest.approx(expected[:2])
    if expected[0] is not None or expected[1] is not None:
        assert read(text)[2:] == expected[2:]


@pytest.mark.parametrize("kind", list(Kind))
def test_bounties_grants_and_hackathons_pay_once(kind: Kind) -> None:
    """Without a period a prize is paid once, and the period of a wage stays unknown."""
    once = kind in {Kind.BOUNTY, Kind.GRANT, Kind.HACKATHON}
    assert read("$5,000", kind) == (5_000, 5_000, "USD", ONCE if once else None)
    assert read("$50/hr", kind) == (50, 50, "USD", HOUR)


@pytest.mark.parametrize("text", ["", "  ", "\n\t"])
def test_no_text_no_pay(text: str) -> None:
    """An empty text states no pay at all."""
    assert read_pay(text, Kind.JOB) is None


def test_the_posting_s_wording_is_kept_and_cut() -> None:
    """The text is the posting's own, with single blanks, up to 200 characters."""
    assert read_pay(" $5 \n an  hour", Kind.JOB) == Pay(
        min=5, max=5, currency="USD", period=HOUR, text="$5 an hour"
    )
    pay = read_pay("x" * 500, Kind.JOB)
    assert pay is not None
    assert len(pay.text) == 200


@pytest.mark.parametrize(
    ("text", "period"),
    [
        ("hour", HOUR),
        ("Hourly", HOUR),
        ("per hr", HOUR),
        ("day", DAY),
        ("daily", DAY),
        ("per week", WEEK),
        ("weekly", WEEK),
        ("month", MONTH),
        ("/mo", MONTH),
        ("p.m.", MONTH),
        ("YEAR", YEAR),
        ("annually", YEAR),
        ("yearly", YEAR),
        ("per annum", YEAR),
        ("pa", YEAR),
        ("", None),
        ("sometimes", None),
        ("yearling", None),
    ],
)
def test_a_period_in_a_text(text: str, period: Period | None) -> None:
    """A period by its bare word, or as `per hour`, `/mo`, `annually`."""
    assert read_period(text) is period


@pytest.mark.parametrize(
    ("text", "minimum"),
    [
        ("60000 EUR/year", MinPay(amount=60_000, currency="EUR", period=YEAR)),
        ("60k EUR a year", MinPay(amount=60_000, currency="EUR", period=YEAR)),
        ("$50/hour", MinPay(amount=50, currency="USD", period=HOUR)),
        ("17.50 USD/hour", MinPay(amount=17.5, currency="USD", period=HOUR)),
        ("1000 USD/month", MinPay(amount=1_000, currency="USD", period=MONTH)),
        ("  1000   usdc / month ", MinPay(amount=1_000, currency="USDC", period=MONTH)),
        ("£500 per day", MinPay(amount=500, currency="GBP", period=DAY)),
        ("5,000,000 NGN/year", MinPay(amount=5_000_000, currency="NGN", period=YEAR)),
    ],
)
def test_a_person_s_minimum(text: str, minimum: MinPay) -> None:
    """An amount, a currency and a period make a minimum."""
    assert parse_min_pay(text) == minimum


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no single amount"),
        ("a lot", "no single amount"),
        ("EUR/year", "no single amount"),
        ("$50-60/hour", "no single amount"),
        ("60000", "no known currency|no single amount"),
        ("5000/month", "no known currency"),
        ("60000 XYZ/year", "no known currency"),
        ("5 ETH/month", "no known currency"),
        ("60000 EUR", "no period"),
        ("0 USD/year", "over 0"),
        ("-5 USD/year", "min pay"),
        ("99999999999999999 USD/year", "min pay"),
    ],
)
def test_a_minimum_that_is_not_all_there_is_refused(text: str, problem: str) -> None:
    """What is missing is named, with an example of what is allowed."""
    with pytest.raises(InvalidValue, match=problem):
        parse_min_pay(text)


@given(
    amount=st.integers(1, 10**9),
    currency=st.sampled_from(["USD", "EUR", "NGN", "USDC"]),
    period=st.sampled_from(list(Period)),
)
def test_a_minimum_reads_back_as_it_is_shown(amount: int, currency: str, period: Period) -> None:
    """What people are shown of their minimum can be sent back and means the same."""
    minimum = MinPay(amount=amount, currency=currency, period=period)
    assert parse_min_pay(str(minimum)) == minimum


@given(PAY_TEXTS, st.sampled_from(list(Kind)))
@example("9" * 30 + " USD", Kind.JOB)
def test_any_text_can_be_read_as_pay(text: str, kind: Kind) -> None:
    """Reading never fails, and a lower end is never above the upper one."""
    pay = read_pay(text, kind)
    if pay is not None and pay.min is not None and pay.max is not None:
        assert 0 <= pay.min <= pay.max


@given(PAY_TEXTS)
def test_any_text_makes_a_minimum_or_a_refusal(text: str) -> None:
    """A person's text becomes a valid minimum or an InvalidValue, nothing else."""
    try:
        minimum = parse_min_pay(text)
    except InvalidValue:
        return
    assert minimum.amount > 0
