"""Hacker News' hiring thread: heads as people write them. Every company here is invented."""

import pytest

from agents.discovery.record import Origin, Unreadable, read_record
from agents.discovery.sources.hn import hiring_records, newest_thread
from agents.domain.opportunity import Opportunity
from tests.fakes.clock import NOON

ORIGIN = Origin(source="hn-who-is-hiring", fetched_at=NOON)
R = "Remote"
LINK = '<a href="https:&#x2F;&#x2F;fern.example" rel="nofollow">https:&#x2F;&#x2F;fern.example</a>'
HEADS = [
    # head | title | company | places | remote | pay
    ("Larkfield Systems | Senior Backend Engineer | Berlin, Germany | ONSITE | €80k-€100k",
     "Senior Backend Engineer", "Larkfield Systems", ["Berlin, Germany"], False, (80_000, 100_000)),
    ("Acme Widgets (YC S21) | Founding Engineer | San Francisco, CA | Onsite | Full-time | "
     "$150k - $200k + equity",
     "Founding Engineer", "Acme Widgets", ["San Francisco, CA"], False, (150_000, 200_000)),
    ("Bluefin | Full-Stack Developer | REMOTE (US) | Full-time | https://bluefin.example",
     "Full-Stack Developer", "Bluefin", ["REMOTE (US)"], True, None),
    ("Corvid Labs | REMOTE | Staff SRE | $180,000-$220,000",
     "Staff SRE", "Corvid Labs", ["REMOTE"], True, (180_000, 220_000)),
    ("Dovetail Robotics | Hardware Engineer, Firmware Engineer | Hybrid (Munich, Germany)",
     "Hardware Engineer, Firmware Engineer", "Dovetail Robotics", ["Hybrid (Munich, Germany)"],
     False, None),
    ("Elmwood | Multiple roles | London, UK or Remote (EU) | Full-Time | Visa",
     "Multiple roles", "Elmwood", ["London, UK or Remote (EU)"], True, None),
    ("Granite | New York, NY | Onsite | Product Designer",
     "Product Designer", "Granite", ["New York, NY"], False, None),
    ("Heron | Berlin, Germany | Remote",
     "Openings at Heron", "Heron", ["Berlin, Germany", R], True, None),
    ("Ibex Energy | Senior ML Engineer | Remote, US timezones | 160-190k USD",
     "Senior ML Engineer", "Ibex Energy", ["Remote, US timezones"], True, (160_000, 190_000)),
    ("Juniper (https://juniper.example) | Frontend Engineer (React) | Paris, France | Hybrid",
     "Frontend Engineer (React)", "Juniper", ["Paris, France"], False, None),
    ("Kestrel | Software Engineering Intern | Toronto, Canada | On-site | Internship",
     "Software Engineering Intern", "Kestrel", ["Toronto, Canada"], False, None),
    ("Larch | Remote (US/Canada) | Full-time | Backend Engineers (Go), Platform Engineers | "
     "$140K–$185K",
     "Backend Engineers (Go), Platform Engineers", "Larch", ["Remote (US/Canada)"], True,
     (140_000, 185_000)),
    ("Marlin Analytics • Analytics Engineer • Amsterdam, Netherlands • Onsite",
     "Analytics Engineer", "Marlin Analytics", ["Amsterdam, Netherlands"], False, None),
    ("Oriole | Head of Engineering | San Francisco | In-office | 0.5-1.5% equity",
     "Head of Engineering", "Oriole", ["San Francisco"], False, None),
    ("Pinecone Toys | DevOps | Remote | Part-time | $80/hr",
     "DevOps", "Pinecone Toys", [R], True, (80, 80)),
    ("Quillfeather | https://quillfeather.example | Engineering Manager | Sydney, Australia",
     "Engineering Manager", "Quillfeather", ["Sydney, Australia"], None, None),
    ("Redstart (YC W23) | NYC | Founding Full Stack Engineer | $130k-$170k | 0.25%-1% | Onsite",
     "Founding Full Stack Engineer", "Redstart", ["NYC"], False, (130_000, 170_000)),
    ("Teal &amp; Co. | Product Manager | Dublin, Ireland | Hybrid | Full-time, permanent",
     "Product Manager", "Teal & Co.", ["Dublin, Ireland"], False, None),
    ("Umber | C++ Engineers | Zurich, Switzerland | ONSITE | VISA",
     "C++ Engineers", "Umber", ["Zurich, Switzerland"], False, None),
    ("Warbler | ML Research Scientist | SF or NYC | $200k-$300k",
     "ML Research Scientist", "Warbler", ["SF or NYC"], None, (200_000, 300_000)),
    ("Dogwood | Seattle, WA / Remote (US) | Senior iOS Developer | Full Time | $170k–$210k | "
     "https://dogwood.example/jobs",
     "Senior iOS Developer", "Dogwood", ["Seattle, WA / Remote (US)"], True, (170_000, 210_000)),
    ("Alder | Rust, Python, Go | Remote", "Rust, Python, Go", "Alder", [R], True, None),
    ("Cedar | Full-time | Remote", "Openings at Cedar", "Cedar", [R], True, None),
    ("Moss | Full-time or contract | Remote | Data Engineer",
     "Data Engineer", "Moss", [R], True, None),
    (f"{LINK} | QA Engineer | Remote", "QA Engineer", "fern.example", [R], True, None),
    (f"Fern ({LINK}) | QA Engineer | Remote", "QA Engineer", "Fern", [R], True, None),
    ("Hazel | Remote-first | Senior Software Engineer, Backend | US &amp; Canada | $150-190K",
     "Senior Software Engineer, Backend", "Hazel", ["Remote-first", "US & Canada"], True,
     (150_000, 190_000)),
    ("Jasmine | Remote (Worldwide) | Salary: 90-120k EUR | Site Reliability Engineer",
     "Site Reliability Engineer", "Jasmine", ["Remote (Worldwide)"], True, (90_000, 120_000)),
    ("Sorrel | Tokyo, Japan | 正社員 | Backend Engineer",
     "Backend Engineer", "Sorrel", ["Tokyo, Japan"], None, None),
    ("Tansy | Backend Engineer | Frontend Engineer | Lisbon, Portugal | Vim or Emacs",
     "Backend Engineer, Frontend Engineer", "Tansy", ["Lisbon, Portugal"], None, None),
    ("Vetch | Intern | Remote | Unpaid", "Openings at Vetch", "Vetch", [R], True, None),
]  # fmt: skip


def posting(head: str, **comment: object) -> Opportunity:
    """What is read from a comment with that head."""
    text = f"{head}<p>We make things.<p>Apply: jobs@larkfield.example"
    children = [{"id": 7, "created_at": "2026-06-01T15:04:05.000Z", "text": text} | comment]
    (record,) = hiring_records({"children": children}) or []
    return read_record(record, ORIGIN)


@pytest.mark.parametrize(("head", "said"), [(head, said) for head, *said in HEADS])
def test_a_head_is_read_in_any_order(head: str, said: list[object]) -> None:
    """After the company each part is what it looks like: a role, a place, pay, a link."""
    found = posting(head)
    pay = found.pay and (found.pay.min, found.pay.max)
    read = [found.title, found.organisation, list(found.locations), found.remote, pay]
    assert read == said


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        ("Kestrel | Software Intern | Toronto, Canada", "internship"),
        ("Vetch | Intern | Remote", "internship"),
        ("Quince | Contract | Remote | iOS Developer | $90-120/hr", "gig"),
        ("Larkfield | Engineer | Berlin | Full-time", "job"),
    ],
)
def test_the_kind_comes_from_the_head(head: str, kind: str) -> None:
    """An internship or a contract is told by the role or the employment."""
    assert posting(head).kind == kind


def test_a_comment_is_kept_in_full() -> None:
    """The whole text is the description, the comment's time is when it was posted."""
    found = posting("Larkfield | Engineer | Berlin")
    assert found.description == (
        "Larkfield | Engineer | Berlin We make things. Apply: jobs@larkfield.example"
    )
    assert (found.source_id, found.posted_at) == ("7", NOON.replace(hour=15, minute=4, second=5))


def test_a_word_between_pipes_is_not_a_company_alone() -> None:
    """A head without any other part says nothing that could be listed."""
    with pytest.raises(Unreadable, match="no title"):
        posting("Please stick to postings | ")


def test_talk_is_left_to_be_counted_and_deleted_comments_are_not_there() -> None:
    """Questions under the story have no title; a deleted comment has no text at all."""
    children = [
        {"id": 1, "text": "Is anybody hiring part-time?"},
        {"id": 2, "text": None},
        {"id": 3},
        "odd",
        {
            "id": 4,
            "text": "Larkfield | Engineer | Berlin",
            "children": [{"id": 5, "text": "A | B"}],
        },
    ]
    records = hiring_records({"children": children})
    assert records is not None
    assert len(records) == 2
    with pytest.raises(Unreadable, match="no title"):
        read_record(records[0], ORIGIN)
    assert read_record(records[1], ORIGIN).title == "Engineer"


@pytest.mark.parametrize("item", [None, [], "x", {}, {"children": None}, {"children": {"a": 1}}])
def test_no_comments_at_all_is_another_layout(item: object) -> None:
    """None, which the feed reports as a changed layout."""
    assert hiring_records(item) is None


HIRING = {"objectID": "41", "title": "Ask HN: Who is hiring? (May 2026)"}
NEWER = {"objectID": "52", "title": "Ask HN: Who Is Hiring? (June 2026)"}
WANTED = {"objectID": "99", "title": "Ask HN: Who wants to be hired? (June 2026)"}
FREELANCE = {"objectID": "98", "title": "Ask HN: Freelancer? Seeking freelancer? (June 2026)"}


@pytest.mark.parametrize(
    ("hits", "thread"),
    [
        ([WANTED, FREELANCE, NEWER, HIRING], "52"),
        ([HIRING, NEWER], "52"),
        ([HIRING, {"objectID": "../9", "title": NEWER["title"]}, {"title": NEWER["title"]}], "41"),
        ([HIRING, None, 7, {"objectID": "9" * 5000, "title": NEWER["title"]}], "41"),
        ([WANTED, FREELANCE], None),
        ([], None),
        ({}, None),
        (None, None),
    ],
)
def test_the_newest_hiring_story_is_taken(hits: object, thread: str | None) -> None:
    """Not the stories for those who look for work; an id that is no number is passed over."""
    assert newest_thread({"hits": hits}) == thread
    assert newest_thread(hits) is None
