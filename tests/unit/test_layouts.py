"""The layouts of pay, place and date that postings have, with numbers and names of our own.

One row a layout: the text and exactly what is read. `PAY`, `PLACES` and `DATES` are tables so that
the test over real postings can hold that no layout of theirs is missing here.
"""

from datetime import UTC, datetime, timedelta

import pytest

from agents.discovery.dates import Deadline, read_deadline, read_instant
from agents.discovery.pay_text import read_pay
from agents.domain.kind import Kind
from agents.domain.pay import Pay, Period
from agents.domain.place import Place, parse_location

HOUR, DAY, WEEK, MONTH, YEAR, ONCE = Period
J, B, G, H = Kind.JOB, Kind.BOUNTY, Kind.GRANT, Kind.HACKATHON
K, M = 1_000, 1_000_000
UNKNOWN = (None, None, None, None)
READ_AT = datetime(2026, 4, 20, 9, 30, tzinfo=UTC)

PAY: list[
    tuple[Kind, str, tuple[float | None, float | None, str | None, Period | None]]
] = [
    # one amount
    (B, "$317.00", (317, 317, "USD", ONCE)),
    (B, "$2,640.00", (2_640, 2_640, "USD", ONCE)),
    (B, "$73 USD", (73, 73, "USD", ONCE)),
    (B, "$61.35 USD", (61.35, 61.35, "USD", ONCE)),
    (H, "$ 640", (640, 640, "USD", ONCE)),
    (H, "$ 7,300", (7_300, 7_300, "USD", ONCE)),
    (H, "₹ 65,500", (65_500, 65_500, "INR", ONCE)),
    (H, "€ 275", (275, 275, "EUR", ONCE)),
    (H, "£ 85", (85, 85, "GBP", ONCE)),
    (H, "€ 0", (0, 0, "EUR", ONCE)),
    (J, "$143/hr", (143, 143, "USD", HOUR)),
    (J, "17$/hour", (17, 17, "USD", HOUR)),
    (J, "$163k/yr", (163 * K, 163 * K, "USD", YEAR)),
    (J, "$71500", (71_500, 71_500, "USD", None)),
    (G, "$345", (345, 345, "USD", ONCE)),
    (G, "$6,250 USD", (6_250, 6_250, "USD", ONCE)),
    (G, "$7,100 CAD in yearly cash awards", (7_100, 7_100, "CAD", ONCE)),
    (G, "$3,300 general operating", (3_300, 3_300, "USD", ONCE)),
    (G, "€7,250 (early stage)", (7_250, 7_250, "EUR", ONCE)),
    (G, "£13,400 award + travel", (13_400, 13_400, "GBP", ONCE)),
    (G, "CHF 27,500 total prize pool", (27_500, 27_500, "CHF", ONCE)),
    (G, "$4,700 each to seven painters", (4_700, 4_700, "USD", ONCE)),
    (G, "$4,700 per project", (4_700, 4_700, "USD", ONCE)),
    (G, "Cash grants (~$4,700 per awardee)", (4_700, 4_700, "USD", ONCE)),
    (G, "~$6,300 in seeds", (6_300, 6_300, "USD", ONCE)),
    (G, "Grand Prix ~$44,500", (44_500, 44_500, "USD", ONCE)),
    (G, "~£8,200 for two months", (8_200, 8_200, "GBP", ONCE)),
    (G, "Rounds average ~$160k", (160 * K, 160 * K, "USD", ONCE)),
    (G, "$320k matching pool", (320 * K, 320 * K, "USD", ONCE)),
    (G, "$2,300,000 fund", (2_300_000, 2_300_000, "USD", ONCE)),
    (G, "$37M pool", (37 * M, 37 * M, "USD", ONCE)),
    (G, "Share of a $36.5M pool", (36.5 * M, 36.5 * M, "USD", ONCE)),
    (G, "~$7M pool a batch", (7 * M, 7 * M, "USD", ONCE)),
    (G, "€135M (health) + €40M (mobility)", (135 * M, 135 * M, "EUR", ONCE)),
    (G, "£2.4B over 3 years", (2.4e9, 2.4e9, "GBP", ONCE)),
    (G, "Share of $14 million in funding", (14 * M, 14 * M, "USD", ONCE)),
    (G, "US$3 million per winner", (3 * M, 3 * M, "USD", ONCE)),
    (G, "US$640,000 prize pool", (640 * K, 640 * K, "USD", ONCE)),
    (G, "AUD $7,500 cash prize", (7_500, 7_500, "AUD", ONCE)),
    (G, "$42,000 USDC prize pool", (42 * K, 42 * K, "USDC", ONCE)),
    (G, "~3 ETH for builders", (3, 3, "ETH", ONCE)),
    (G, "1.375 ETH", (1.375, 1.375, "ETH", ONCE)),
    (G, "28M POL for the season", (28 * M, 28 * M, "POL", ONCE)),
    (G, "$85K / Growth $240K", (85 * K, 85 * K, "USD", ONCE)),
    (G, "$27,000 + $4,100 for leadership", (27 * K, 27 * K, "USD", ONCE)),
    (G, "$27K + a year of coaching", (27 * K, 27 * K, "USD", ONCE)),
    # a period at the amount, and others
    (G, "$3,150/month stipend", (3_150, 3_150, "USD", MONTH)),
    (G, "$3,150 per month", (3_150, 3_150, "USD", MONTH)),
    (G, "£325 per month (one person chosen weekly)", (325, 325, "GBP", MONTH)),
    (G, "$2,450/week stipend + ~$900/month", (2_450, 2_450, "USD", WEEK)),
    (G, "$640/week living stipend", (640, 640, "USD", WEEK)),
    (G, "Stipend (~$280/week)", (280, 280, "USD", WEEK)),
    (G, "Flights + ~$65/day", (65, 65, "USD", DAY)),
    (G, "$41,000/year for 2 years", (41 * K, 41 * K, "USD", YEAR)),
    (G, "Equal to £28,300/yr (part of a year)", (28_300, 28_300, "GBP", YEAR)),
    (G, "$18,000 annual stipend", (18 * K, 18 * K, "USD", YEAR)),
    (G, "Monthly stipend (e.g. SGD 4,200/mo)", (4_200, 4_200, "SGD", MONTH)),
    (G, "Monthly stipend of $900", (900, 900, "USD", MONTH)),
    (G, "EUR 520–580 weekly allowance", (520, 580, "EUR", WEEK)),
    (G, "Paid $19–$23/hour", (19, 23, "USD", HOUR)),
    (G, "Up to $1,750 per fiscal year", (None, 1_750, "USD", YEAR)),
    (G, "$3,400 per quarter", (3_400, 3_400, "USD", None)),
    (G, "$18,000 grants (4 shops a month)", (18 * K, 18 * K, "USD", ONCE)),
    (G, "$18,000 stipend (paid in 9 monthly parts)", (18 * K, 18 * K, "USD", ONCE)),
    (G, "$18,000 annual grants", (18 * K, 18 * K, "USD", ONCE)),
    (J, "£430 per day", (430, 430, "GBP", DAY)),
    (J, "£430 - £475 p.d.", (430, 475, "GBP", DAY)),
    (J, "£2,150 pcm", (2_150, 2_150, "GBP", MONTH)),
    (J, "R$ 7.500/mês", (7_500, 7_500, "BRL", MONTH)),
    (J, "€ 48.500 brutto pro Jahr", (48_500, 48_500, "EUR", YEAR)),
    (J, "€2.150 par mois", (2_150, 2_150, "EUR", MONTH)),
    (J, "$108,000 a year ($51.92/hr)", (108 * K, 108 * K, "USD", YEAR)),
    (J, "Annual salary: $71,000 - $86,000", (71 * K, 86 * K, "USD", YEAR)),
    (J, "Hourly rate: 27-34", (27, 34, None, HOUR)),
    (J, "$64,000 (yearly review)", (64 * K, 64 * K, "USD", None)),
    (J, "$64,000, paid bi-weekly", (64 * K, 64 * K, "USD", None)),
    (J, "$64,000, annual bonus", (64 * K, 64 * K, "USD", None)),
    (J, "$950 biweekly", (950, 950, "USD", None)),
    # ranges
    (J, "$72,500 - $91,500", (72_500, 91_500, "USD", None)),
    (J, "$72,500-$91,500", (72_500, 91_500, "USD", None)),
    (J, "$72,500–$91,500", (72_500, 91_500, "USD", None)),
    (J, "$72,500~$91,500", (72_500, 91_500, "USD", None)),
    (J, "$72500-$91500", (72_500, 91_500, "USD", None)),
    (J, "$72,500 - $91,500 usd", (72_500, 91_500, "USD", None)),
    (J, "$72,500–$91,500 USD equivalent", (72_500, 91_500, "USD", None)),
    (J, "$72,500 - $91,500 per year", (72_500, 91_500, "USD", YEAR)),
    (J, "$72,500–$91,500 per year", (72_500, 91_500, "USD", YEAR)),
    (J, "$72,500 - $91,500 + bonuses", (72_500, 91_500, "USD", None)),
    (J, "$72,500.00 - $91,500.00 a year plus bonus", (72_500, 91_500, "USD", YEAR)),
    (J, "usd 72,088 - 91,700 per year", (72_088, 91_700, "USD", YEAR)),
    (J, "2,310 - 3,420 eur gross monthly", (2_310, 3_420, "EUR", MONTH)),
    (J, "$72k - $91k", (72 * K, 91 * K, "USD", None)),
    (J, "$72k – $91k", (72 * K, 91 * K, "USD", None)),
    (J, "$72k-$91k annually based on place", (72 * K, 91 * K, "USD", YEAR)),
    (J, "$72-91k base, plus equity", (72 * K, 91 * K, "USD", None)),
    (J, "$72k - 91", (72 * K, 91 * K, "USD", None)),
    (J, "$28,4k- $47k", (28_400, 47 * K, "USD", None)),
    (J, "$71 - $93 /hour", (71, 93, "USD", HOUR)),
    (G, "$650–$2,900 per grant (9 monthly)", (650, 2_900, "USD", ONCE)),
    (G, "$450–$900 (cash)", (450, 900, "USD", ONCE)),
    (G, "$450–$7,900", (450, 7_900, "USD", ONCE)),
    (G, "$450 – $7,900 (by project)", (450, 7_900, "USD", ONCE)),
    (G, "Microgrants ~$450–$7,900", (450, 7_900, "USD", ONCE)),
    (G, "$2,600–$7,900 per task", (2_600, 7_900, "USD", ONCE)),
    (G, "~$2,600–$7,900 in credits", (2_600, 7_900, "USD", ONCE)),
    (G, "~$2,600–$7,900 per job", (2_600, 7_900, "USD", ONCE)),
    (G, "$2,600 – $1,700,000", (2_600, 1_700_000, "USD", ONCE)),
    (G, "€2,600–€7,900", (2_600, 7_900, "EUR", ONCE)),
    (G, "€2,600–€7,900 per project", (2_600, 7_900, "EUR", ONCE)),
    (G, "£2,600–£7,900", (2_600, 7_900, "GBP", ONCE)),
    (G, "~£260,000–£790,000 (R&D)", (260 * K, 790 * K, "GBP", ONCE)),
    (G, "EUR 26,000 – 79,000", (26 * K, 79 * K, "EUR", ONCE)),
    (G, "CHF 26,000 – 79,000 (rail)", (26 * K, 79 * K, "CHF", ONCE)),
    (G, "€2,600 to €79,000 per grant (from a €3M annual fund)", (2_600, 79 * K, "EUR", ONCE)),
    (G, "Grants from $2,600 to $7,900 USD", (2_600, 7_900, "USD", ONCE)),
    (G, "Grants seen from ~$26K to ~$79K", (26 * K, 79 * K, "USD", ONCE)),
    (G, "$26K–$79K", (26 * K, 79 * K, "USD", ONCE)),
    (G, "~$26k–$79k pool", (26 * K, 79 * K, "USD", ONCE)),
    (G, "$26K–$79K per project", (26 * K, 79 * K, "USD", ONCE)),
    (G, "$260K–$4M + cloud", (260 * K, 4 * M, "USD", ONCE)),
    (G, "$260K–$4M by scope", (260 * K, 4 * M, "USD", ONCE)),
    (G, "$3M–$4M in all", (3 * M, 4 * M, "USD", ONCE)),
    # several prizes, several sums
    (H, "$7,000 / $4,000 / $1,500", (1_500, 7_000, "USD", ONCE)),
    (H, "$7,000, $4,000, or $1,500", (1_500, 7_000, "USD", ONCE)),
    (H, "$7,000, $4,000, or $1,500 (one or two)", (1_500, 7_000, "USD", ONCE)),
    (H, "Prizes of $7,000 / $4,000 / $1,500 to 3 teams", (1_500, 7_000, "USD", ONCE)),
    (H, "$7,000 / $4,000 scale-up grants", (4_000, 7_000, "USD", ONCE)),
    (H, "1st: $7,000, 2nd: $4,000, 3rd: $1,500", (1_500, 7_000, "USD", ONCE)),
    (H, "$7,000 first place; $4,000 second", (4_000, 7_000, "USD", ONCE)),
    (H, "$7,000 to 6 winners", (7_000, 7_000, "USD", ONCE)),
    (H, "Top 12 - $700", (700, 700, "USD", ONCE)),
    (J, "$70,000 and $9,000 bonus", (70 * K, 70 * K, "USD", None)),
    # open ends
    (G, "Up to $6,700", (None, 6_700, "USD", ONCE)),
    (G, "Up to $670", (None, 670, "USD", ONCE)),
    (G, "Up to $670 per project", (None, 670, "USD", ONCE)),
    (G, "Up to $6,700 per winner", (None, 6_700, "USD", ONCE)),
    (G, "Up to ~$6,700 (cash)", (None, 6_700, "USD", ONCE)),
    (G, "Up to ~$6,700 per team", (None, 6_700, "USD", ONCE)),
    (G, "Up to €6,700 (7 mo) or €9,100 (9 mo)", (None, 6_700, "EUR", ONCE)),
    (G, "Up to €6,700 per project", (None, 6_700, "EUR", ONCE)),
    (G, "Up to €3.5M each", (None, 3.5 * M, "EUR", ONCE)),
    (G, "Up to £67,000 (early career)", (None, 67 * K, "GBP", ONCE)),
    (G, "Up to £67,000 per project", (None, 67 * K, "GBP", ONCE)),
    (G, "Up to CA$6,700", (None, 6_700, "CAD", ONCE)),
    (G, "Up to US$67,000 equity-free", (None, 67 * K, "USD", ONCE)),
    (G, "Bridges RFP up to US$67,000", (None, 67 * K, "USD", ONCE)),
    (G, "Up to CHF 67,000 equity-free", (None, 67 * K, "CHF", ONCE)),
    (G, "compete for up to CHF 2M (~$2.5M)", (None, 2 * M, "CHF", ONCE)),
    (G, "Up to SGD $67K", (None, 67 * K, "SGD", ONCE)),
    (G, "Up to ₹7,50,000 (~$8,800)", (None, 750 * K, "INR", ONCE)),
    (G, "Up to $67K in tokens", (None, 67 * K, "USD", ONCE)),
    (G, "Up to ~$67k + credits", (None, 67 * K, "USD", ONCE)),
    (G, "Up to ~$67K+ per project", (None, 67 * K, "USD", ONCE)),
    (G, "Up to $7M in all", (None, 7 * M, "USD", ONCE)),
    (G, "Up to $3.5M over 3 years", (None, 3.5 * M, "USD", ONCE)),
    (G, "Up to $6,700/month stipend", (None, 6_700, "USD", MONTH)),
    (G, "Up to $67,000/year", (None, 67 * K, "USD", YEAR)),
    (G, "Up to $67,000 over two years ($33,500/year)", (None, 67 * K, "USD", ONCE)),
    (G, "Small capital under $340k", (None, 340 * K, "USD", ONCE)),
    (G, "Seed grants under $34,000 (most less)", (None, 34 * K, "USD", ONCE)),
    (G, "Capacity building (<$340k)", (None, 340 * K, "USD", ONCE)),
    (J, "no more than $34,000", (None, 34 * K, "USD", None)),
    (J, "$34,000 max", (None, 34 * K, "USD", None)),
    (G, "From $6,700 by milestone", (6_700, None, "USD", ONCE)),
    (G, "Staged, from $6,700", (6_700, None, "USD", ONCE)),
    (G, "At least $6,700 cash", (6_700, None, "USD", ONCE)),
    (G, "At least four share ~$6,700", (6_700, 6_700, "USD", ONCE)),
    (G, "Over $340k in prizes", (340 * K, None, "USD", ONCE)),
    (G, "Minimum $1,250/week", (1_250, None, "USD", WEEK)),
    (G, "No less than $340,000 per group", (340 * K, None, "USD", ONCE)),
    (G, "Credits from the $4M fund", (4 * M, 4 * M, "USD", ONCE)),
    (J, "$34k and up", (34 * K, None, "USD", None)),
    (J, "min $34k, max $52k", (34 * K, 52 * K, "USD", None)),
    (G, "$6,700+ in prizes", (6_700, None, "USD", ONCE)),
    (G, "$67K+ in value", (67 * K, None, "USD", ONCE)),
    (G, "In kind, ~$3k+/club", (3 * K, None, "USD", ONCE)),
    (G, "$3M+ in all", (3 * M, None, "USD", ONCE)),
    (G, "$4.5M+ total", (4.5 * M, None, "USD", ONCE)),
    (G, "$6,700–$67,000+", (6_700, None, "USD", ONCE)),
    (G, "$6,700–$67,000+ per fellow", (6_700, None, "USD", ONCE)),
    (G, "€6,700 to €67,000+ (most less)", (6_700, None, "EUR", ONCE)),
    (G, "~$6,700 to $67,000+ per project", (6_700, None, "USD", ONCE)),
    (G, "$6K–$67K+ tiers", (6 * K, None, "USD", ONCE)),
    (G, "$670K–$7M+ per program", (670 * K, None, "USD", ONCE)),
    (G, "$67K to $7M+ per project", (67 * K, None, "USD", ONCE)),
    (G, "$6,700 to $7M+ (most less)", (6_700, None, "USD", ONCE)),
    (J, "$67,000 + equity + perks", (67 * K, 67 * K, "USD", None)),
    (J, "A$67,000 + super", (67 * K, 67 * K, "AUD", None)),
    # currencies and numbers of other countries
    (J, "₹14-19 LPA", (1.4 * M, 1.9 * M, "INR", YEAR)),
    (J, "Rs. 13,00,000 - 17,00,000", (1.3 * M, 1.7 * M, "INR", None)),
    (J, "₹13L - ₹17L", (1.3 * M, 1.7 * M, "INR", None)),
    (J, "₹1.4Cr", (14 * M, 14 * M, "INR", None)),
    (J, "INR650000 per annum", (650 * K, 650 * K, "INR", YEAR)),
    (J, "43.000 - 58.000 €", (43 * K, 58 * K, "EUR", None)),
    (J, "43.000,00 € bis 58.000,00 €", (43 * K, 58 * K, "EUR", None)),
    (J, "3,5 Mio. €", (3.5 * M, 3.5 * M, "EUR", None)),
    (J, "43 Tsd. €", (43 * K, 43 * K, "EUR", None)),
    (J, "CHF 87'000", (87 * K, 87 * K, "CHF", None)),
    (J, "CHF 87’000.- bis 108’000.-", (87 * K, 108 * K, "CHF", None)),
    (J, "C$83k", (83 * K, 83 * K, "CAD", None)),
    (J, "$83,000 - $97,000 CAD", (83 * K, 97 * K, "CAD", None)),
    (J, "$47/hr CAD", (47, 47, "CAD", HOUR)),
    (J, "$83,000 (Canadian dollars)", (83 * K, 83 * K, "CAD", None)),
    (J, "US $83k", (83 * K, 83 * K, "USD", None)),
    (J, "EUR47,500", (47_500, 47_500, "EUR", None)),
    (J, "650USDC", (650, 650, "USDC", None)),
    (J, "83kUSD", (83 * K, 83 * K, "USD", None)),
    (J, "8 500 - 11 500 zł", (8_500, 11_500, "PLN", None)),
    (J, "38 500 kr per month", (38_500, 38_500, None, MONTH)),
    (J, "£21.75ph", (21.75, 21.75, "GBP", HOUR)),
    (J, "$23hr", (23, 23, "USD", HOUR)),
    (J, "31.000€ - 37.000€ brut/an", (31 * K, 37 * K, "EUR", YEAR)),
    (J, "SEK 43 000–54 000/mån", (43 * K, 54 * K, "SEK", MONTH)),
    (J, "CAD 83,000 - $97,000", (83 * K, 97 * K, "CAD", None)),
    (G, "Award floor: $34,000 Ceiling: $520,000", (34 * K, 520 * K, "USD", ONCE)),
    (B, "650 $USDC", (650, 650, "USDC", ONCE)),
    (B, "650 $NOPE", UNKNOWN),
    (J, "$67,000 (66,000 after tax) per year", (67 * K, 67 * K, "USD", YEAR)),
    (J, "500000 TRY", (500 * K, 500 * K, "TRY", None)),
    # nothing that is pay
    (H, "Prizes!", UNKNOWN),
    (J, "highly competitive salary, based on experience", UNKNOWN),
    (J, "DOE", UNKNOWN),
    (G, "Stipend for an 11-week program", UNKNOWN),
    (G, "Monthly stipend for ~7-10 months abroad", UNKNOWN),
    (G, "Credits worth up to ~12% of the budget", UNKNOWN),
    (J, "401k match", UNKNOWN),
    (J, "401(k) match, paid hourly", UNKNOWN),
    (J, "7 years of experience", UNKNOWN),
    (J, "36 hours/week", UNKNOWN),
    (J, "on call 24/7 hourly", UNKNOWN),
    (J, "call 555-018-4477 for hourly rates", UNKNOWN),
    (J, "+1 (555) 018-4477", UNKNOWN),
    (J, "0.4% - 0.9% equity", UNKNOWN),
    (J, "a $6 figure salary", UNKNOWN),
    (J, "give it 5 try", UNKNOWN),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "text", "expected"), PAY)
def test_pay_layouts(
    kind: Kind,
    text: str,
    expected: tuple[float | None, float | None, str | None, Period | None],
) -> None:
    """The amounts, the currency and the period that a text states, and nothing else."""
    low, high, currency, period = expected
    pay = read_pay(text, kind)
    assert pay == Pay(min=low, max=high, currency=currency, period=period, text=text)


US, UK, DE, CA, IN = "united states", "united kingdom", "germany", "canada", "india"
Names = tuple[str | None, str | None, str | None]  # city, region, country


def at(*names: Names | str) -> tuple[Place, ...]:
    """Places from their parts; a bare name is a world area."""
    return tuple(
        Place(area=n) if isinstance(n, str) else Place(city=n[0], region=n[1], country=n[2])
        for n in names
    )


WORLD = at("worldwide")
PLACES: list[tuple[str, tuple[Place, ...], str]] = [
    # a city and where it lies
    ("Lubbock, TX", at(("lubbock", "texas", US)), ""),
    ("Tulsa, Oklahoma, United States", at(("tulsa", "oklahoma", US)), ""),
    ("Tulsa, OK, US", at(("tulsa", "oklahoma", US)), ""),
    ("Syracuse, New York", at(("syracuse", "new york", US)), ""),
    ("Rochester, NY, USA", at(("rochester", "new york", US)), ""),
    ("New Orleans, LA, US", at(("new orleans", "louisiana", US)), ""),
    ("Guelph, ON, Canada", at(("guelph", "ontario", CA)), ""),
    ("Guelph, ON", at(("guelph", "ontario", CA)), ""),
    ("Hamilton, Ontario, CA", at(("hamilton", "ontario", CA)), ""),
    ("Kochi, Kerala, IN", at(("kochi", "kerala", IN)), ""),
    ("Poznań, Greater Poland Voivodeship, Poland", at(("poznan", None, "poland")), ""),
    ("Monterrey, N.L., Mexico", at(("monterrey", None, "mexico")), ""),
    ("Natal, RN, Brazil", at(("natal", None, "brazil")), ""),
    ("Salvador, BA, Brazil", at(("salvador", None, "brazil")), ""),
    ("Navan, County Meath, Ireland", at(("navan", None, "ireland")), ""),
    ("Norway - Bergen", at(("bergen", None, "norway")), ""),
    ("WA - Spokane", at(("spokane", "washington", US)), ""),
    ("USA - Wichita, KS", at(("wichita", "kansas", US)), ""),
    ("United States-Ohio-Toledo", at(("toledo", "ohio", US)), ""),
    ("United States - Ohio - Toledo", at(("toledo", "ohio", US)), ""),
    ("EMEA - Spain - Valencia", at(("valencia", None, "spain")), ""),
    ("ES Valencia", at(("valencia", None, "spain")), ""),
    ("IN-Hyderabad", at(("hyderabad", "telangana", IN)), ""),
    ("Boise, ID Tampa, FL", at(("boise", "idaho", US), ("tampa", "florida", US)), ""),
    ("O'Brien, TX", at(("o'brien", "texas", US)), ""),
    ("Tromsø", at(("tromso", None, None)), ""),
    ("Málaga, Spain", at(("malaga", None, "spain")), ""),
    ("Springfield, Québec, QC, Canada", at(("springfield", "quebec", CA)), ""),
    ("Greater Lyon Area", at(("lyon", None, "france")), ""),
    ("Cebu City", at(("cebu", None, "philippines")), ""),
    ("The Hague", at(("the hague", None, "netherlands")), ""),
    ("Denver, Colorado (HQ)", at(("denver", "colorado", US)), ""),
    ("Denver, Colorado, United States (Preferred)", at(("denver", "colorado", US)), ""),
    ("Swansea, Wales, United Kingdom", at(("swansea", None, UK)), ""),
    ("US, TX, Houston", at(("houston", "texas", US)), ""),
    ("US, Texas, Houston", at(("houston", "texas", US)), ""),
    ("United States, Houston, TX", at(("houston", "texas", US)), ""),
    ("Houston, US, Texas", at(("houston", "texas", US)), ""),
    ("US - Houston, United States", at(("houston", "texas", US)), ""),
    ("Nebraska, United States", at((None, "nebraska", US)), ""),
    ("Houston, Texas, United States, AMER", at(("houston", "texas", US)), ""),
    ("Graz, Styria, Austria, EMEA", at(("graz", None, "austria")), ""),
    ("Lebanon, PA", at(("lebanon", "pennsylvania", US)), ""),
    ("Colombia, CO", at((None, None, "colombia")), ""),
    # several
    ("Tampa, FL / Boise, ID",
     at(("tampa", "florida", US), ("boise", "idaho", US)), ""),
    ("Houston, Texas, United States, Tampa, Florida, United States",
     at(("houston", "texas", US), ("tampa", "florida", US)), ""),
    ("Peru, Multiple Locations, Multiple Locations", at((None, None, "peru")), ""),
    ("Americas, Europe, Ghana", at("americas", "europe", (None, None, "ghana")), ""),
    ("Bengaluru / Bangalore", at(("bengaluru", "karnataka", IN)), ""),
    ("Lyon, London, or Berlin",
     at(("lyon", None, "france"), ("london", None, UK), ("berlin", None, DE)), ""),
    ("Portland, OR or Reno, NV", at(("portland", "oregon", US), ("reno", "nevada", US)), ""),
    ("Peru, Chile", at((None, None, "peru"), (None, None, "chile")), ""),
    ("[Denver, Seattle], USA",
     at(("denver", "colorado", US), ("seattle", "washington", US)), ""),
    ("8 cities in the United States", at((None, None, US)), ""),
    ("Houston, U S", at(("houston", "texas", US)), ""),
    ("U S A", at((None, None, US)), ""),
    ("7 Locations", (), ""),
    ("Various Locations (UK)", at((None, None, UK)), ""),
    ("in-office", (), ""),
    ("any", (), ""),
    ("Full-time", (), ""),
    # remote and hybrid
    ("REMOTE", (), "remote"),
    ("100% remoto", (), "remote"),
    ("Distributed / online", (), "remote"),
    ("Lyon or remotely", at(("lyon", None, "france")), "remote"),
    ("Remote, Ghana", at((None, None, "ghana")), "remote"),
    ("Remote Ghana", at((None, None, "ghana")), "remote"),
    ("Ghana - Remote", at((None, None, "ghana")), "remote"),
    ("Ghana Virtual", at((None, None, "ghana")), "remote"),
    ("Ghana Anywhere", at((None, None, "ghana")), "remote"),
    ("virtual/Worldwide", (), "remote"),
    ("Remote (South America)", at("south america"), "remote"),
    ("Remote, Oceania", at("oceania"), "remote"),
    ("Remote - Nebraska, United States", at((None, "nebraska", US)), "remote"),
    ("Remote - US (Tampa, FL only)", at(("tampa", "florida", US)), "remote"),
    ("Remote in Ghana", at((None, None, "ghana")), "remote"),
    ("Remote - Ghana", at((None, None, "ghana")), "remote"),
    ("Remote (Ghana)", at((None, None, "ghana")), "remote"),
    ("Ghana (Remote)", at((None, None, "ghana")), "remote"),
    ("-REMOTE, GHANA-", at((None, None, "ghana")), "remote"),
    ("Remote(UK)", at((None, None, UK)), "remote"),
    ("Remote - UK: Select locations", at((None, None, UK)), "remote"),
    ("Remote - UK: All locations", at((None, None, UK)), "remote"),
    ("Remote (US or Canada)", at((None, None, US), (None, None, CA)), "remote"),
    ("Remote, must be in Canada", at((None, None, CA)), "remote"),
    ("Remote (Reno, NV only)", at(("reno", "nevada", US)), "remote"),
    ("Canada - Remote (ON, AB, or NS Only)",
     at((None, "ontario", CA), (None, "alberta", CA), (None, "nova scotia", CA)), "remote"),
    ("Remote - Canada / LATAM", at((None, None, CA), "latin america"), "remote"),
    ("Global (online and remote)", (), "remote"),
    ("Work from anywhere in the world", WORLD, "remote"),
    ("Remote (EMEA, APAC)", at("emea", "apac"), "remote"),
    ("Hybrid - Lyon, France", at(("lyon", None, "france")), "hybrid"),
    ("Lyon, France (hybrid)", at(("lyon", None, "france")), "hybrid"),
    ("Hybrid, Lyon, France", at(("lyon", None, "france")), "hybrid"),
    ("Hybrid - Lyon, London", at(("lyon", None, "france"), ("london", None, UK)), "hybrid"),
    ("Tampa, FL (Hybrid)", at(("tampa", "florida", US)), "hybrid"),
    ("Tampa, Florida (Hybrid)", at(("tampa", "florida", US)), "hybrid"),
    ("Remote-Friendly (Travel Required)", (), "hybrid"),
    # time zones are no places
    ("UTC-4 to UTC+3", (), ""),
    ("Remote (UTC-4 to UTC+3)", (), "remote"),
    ("Remote, EST hours", (), "remote"),
    ("Remote (CET +/- 2 hours)", (), "remote"),
    ("Remote - US timezones", (), "remote"),
    ("Peru, USA timezones", at((None, None, "peru")), ""),
]  # fmt: skip


@pytest.mark.parametrize(("text", "places", "says"), PLACES)
def test_place_layouts(text: str, places: tuple[Place, ...], says: str) -> None:
    """The places that a text names, and whether it says remote or hybrid."""
    location = parse_location(text)
    assert location.places == places
    assert (location.remote, location.hybrid) == (says == "remote", says == "hybrid")


def utc(*parts: int) -> datetime:
    """An instant in UTC from year, month, day, hour and so on."""
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]


def end(month: int, day: int, year: int = 2026) -> datetime:
    """The last second of a day."""
    return utc(year, month, day, 23, 59, 59)


INSTANTS: list[tuple[object, datetime | None]] = [
    ("2026-06-09T07:08:09Z", utc(2026, 6, 9, 7, 8, 9)),
    ("2026-06-09T07:08:09.123Z", utc(2026, 6, 9, 7, 8, 9, 123_000)),
    ("2026-06-09T07:08:09+02:00", utc(2026, 6, 9, 5, 8, 9)),
    ("2026-06-09 07:08:09 UTC", utc(2026, 6, 9, 7, 8, 9)),
    ("2026/06/09", utc(2026, 6, 9)),
    ("2026-6-9", utc(2026, 6, 9)),
    ("09.06.2026", utc(2026, 6, 9)),
    ("9. Juni 2026", utc(2026, 6, 9)),
    ("9 de junio de 2026", utc(2026, 6, 9)),
    ("1er août 2026", utc(2026, 8, 1)),
    ("Tue Jun 09 2026 07:08:09 GMT+0000 (Coordinated Universal Time)",
     utc(2026, 6, 9, 7, 8, 9)),
    ("9 June 2026 07:00 ET", utc(2026, 6, 9, 11)),
    (1781000000, utc(2026, 6, 9, 10, 13, 20)),
    (1781000000000, utc(2026, 6, 9, 10, 13, 20)),
    ("1781000000.5", utc(2026, 6, 9, 10, 13, 20, 500_000)),
    ("17 hours ago", READ_AT - timedelta(hours=17)),
    ("1 day ago", READ_AT - timedelta(days=1)),
    ("53 minutes ago", READ_AT - timedelta(minutes=53)),
    ("40 seconds ago", READ_AT - timedelta(seconds=40)),
    ("Posted Today", READ_AT),
    ("Posted Yesterday", READ_AT - timedelta(days=1)),
    ("Posted 30+ Days Ago", READ_AT - timedelta(days=30)),
    ("Reposted 3 weeks ago", READ_AT - timedelta(weeks=3)),
    ("06/09/2026", None),
    ("09/06/26", None),
    ("20260609", None),
    ("last week", None),
]  # fmt: skip


@pytest.mark.parametrize(("value", "instant"), INSTANTS)
def test_instant_layouts(value: object, instant: datetime | None) -> None:
    """The instant that a value states, counted from when it was read where it is relative."""
    assert read_instant(value, READ_AT) == instant


DEADLINES: list[tuple[str, datetime | None]] = [
    ("2026-06-09T00:00:00Z", utc(2026, 6, 9)),
    ("2026-06-08", end(6, 8)),
    ("Jun 9 - 23, 2026", end(6, 23)),
    ("Jun 9 - Aug 03, 2026", end(8, 3)),
    ("Dec 12, 2026 - Jan 9, 2027", end(1, 9, 2027)),
    ("Jun 9 through Jun 23, 2026", end(6, 23)),
    ("9. Juni bis 23. Juni 2026", end(6, 23)),
    ("9. - 23. Juni 2026", end(6, 23)),
    ("09.06.2026 - 23.06.2026", end(6, 23)),
    ("2026-06-09 to 2026-06-23", end(6, 23)),
    ("06/09/2026 - 06/23/2026", None),
    ("Deadline: 09.06.2026", end(6, 9)),
    ("2026/06/09", end(6, 9)),
    ("Jun 9, 2026 (AoE)", utc(2026, 6, 10, 11, 59, 59)),
    ("Jun 9, 2026 11:59 PM AoE", utc(2026, 6, 10, 11, 59)),
    ("Jun 9, 2026 11:59 PM ET", utc(2026, 6, 10, 3, 59)),
    ("Jan 9, 2026 11:59 PM ET", utc(2026, 1, 10, 4, 59)),
    ("06/09/2026", None),
    ("due in about 6 days", None),
    ("due in 7 months", None),
    ("Rolling", None),
    ("Rolling — reviewed quarterly", None),
    ("ASAP", None),
    ("Open until filled", None),
    ("3 days left", None),
    ("Jun 9 - 23", None),
    ("Q3 2026", None),
]


@pytest.mark.parametrize(("text", "at_"), DEADLINES)
def test_deadline_layouts(text: str, at_: datetime | None) -> None:
    """The last instant that a text names; without one the text is kept."""
    assert read_deadline(text, None) == Deadline(at=at_, text=None if at_ else text)


CLOSED: list[tuple[str, datetime | None]] = [
    ("closed", None),
    ("Annual; 2027 round closed — next cycle expected late 2028", None),
    ("Annual; 2026 round closed Jun 9 — next cycle expected early 2027", end(6, 9)),
    ("Next call expected Fall 2026 (Spring 2026 window closed Jun 9, 2026)", end(6, 9)),
    ("Annual; 2026 deadline (~Jun 9) passed — next cycle expected 2027", end(6, 9)),
    ("Recurring; last call closed June 2026, next expected early 2027", end(6, 30)),
    ("Open solicitation closed 9 June 2026; full proposals are rolling", end(6, 9)),
]


@pytest.mark.parametrize(("text", "at_"), CLOSED)
def test_layouts_that_say_it_is_over(text: str, at_: datetime | None) -> None:
    """The day that it closed, or that it did where no day is named."""
    assert read_deadline(text, None) == Deadline(at=at_, text=text, closed=at_ is None)


@pytest.mark.parametrize(
    ("text", "month_first", "day"),
    [
        ("06/09/2026", True, (6, 9)),
        ("06/09/2026", False, (9, 6)),
        ("06-09-2026", True, (6, 9)),
        ("06/23/2026", False, (6, 23)),  # only one reading is a date
        ("2026-06-09", False, (6, 9)),
        ("2026/06/09", False, (6, 9)),
        ("09.06.2026", True, (6, 9)),
        ("Jun 9, 2026", False, (6, 9)),
    ],
)
def test_a_source_that_is_known_to_write_one_order(
    text: str, month_first: bool, day: tuple[int, int]
) -> None:
    """The order decides what could be read both ways, and changes nothing else."""
    assert read_instant(text, month_first=month_first) == utc(2026, *day)
    assert read_deadline(text, None, month_first=month_first) == Deadline(at=end(*day))


def test_a_period_of_a_source_that_is_known_to_write_one_order() -> None:
    """Both ends are read in the source's order, and the end counts."""
    text = "06/07/2026 - 06/09/2026"
    assert read_deadline(text, None, month_first=True).at == end(6, 9)
    assert read_deadline(text, None, month_first=False).at == end(9, 6)
    assert read_deadline(text, None) == Deadline(text=text)


def test_there_are_two_hundred_layouts() -> None:
    """The tables hold at least 200 different texts."""
    texts = {text for _, text, _ in PAY} | {text for text, _, _ in PLACES}
    assert len(texts | {str(value) for value, _ in (*INSTANTS, *DEADLINES, *CLOSED)}) >= 200
