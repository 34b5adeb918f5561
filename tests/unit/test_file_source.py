"""Postings from a file: JSONL, a JSON array, a wrapped array, CSV, and what is none of these."""

import asyncio
import json
import os
from pathlib import Path

import pytest

from agents.discovery.port import Need, Reading, SourceFailed
from agents.discovery.sources.catalogue import Catalogue
from agents.discovery.sources.file import FILE_BYTES_MAX, RECORDS_MAX, FileSource
from agents.domain.errors import InvalidValue
from cache.single_flight import SingleFlight
from resilience.clock import SystemClock
from tests.fakes.caches import memory_readings
from tests.fakes.clock import FixedClock
from tests.fakes.shelf import MemoryShelf

NOW = SystemClock().now

ONE: dict[str, object] = {"title": "Engineer", "url": "https://example.com/1"}
TWO: dict[str, object] = {"title": "Designer", "url": "https://example.com/2"}
ONE_LINE = json.dumps(ONE)
TWO_LINE = json.dumps(TWO)


async def read(path: Path, content: str | bytes, name: str = "jobs.jsonl") -> Reading:
    """What the source gives for a file with this content."""
    file = path / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return await FileSource(file, NOW).read()


def titles(reading: Reading) -> list[str]:
    """The titles read, in the file's order."""
    return [posting.title for posting in reading.opportunities]


# --- the layouts ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("jobs.jsonl", f"{ONE_LINE}\n{TWO_LINE}\n", id="JSONL"),
        pytest.param("jobs.jsonl", f"{ONE_LINE}\n{TWO_LINE}", id="JSONL without a last newline"),
        pytest.param("jobs.jsonl", f"\n{ONE_LINE}\n\n  \n{TWO_LINE}\n", id="JSONL, blank lines"),
        pytest.param("jobs.jsonl", f"{ONE_LINE}\r\n{TWO_LINE}\r\n", id="JSONL from Windows"),
        pytest.param("jobs.txt", f"{ONE_LINE}\n{TWO_LINE}\n", id="JSONL by another name"),
        pytest.param("jobs.json", f"[{ONE_LINE},{TWO_LINE}]", id="array"),
        pytest.param("jobs.json", json.dumps([ONE, TWO], indent=2), id="indented array"),
        pytest.param("jobs.json", f" \n [{ONE_LINE},{TWO_LINE}]", id="array after blanks"),
        pytest.param("jobs.json", json.dumps({"jobs": [ONE, TWO]}), id="wrapped"),
        pytest.param(
            "jobs.json",
            json.dumps({"count": 2, "jobs": [ONE, TWO], "tags": ["x"]}, indent=1),
            id="wrapped and indented, with other fields",
        ),
        pytest.param(
            "jobs.json",
            json.dumps({"jobs": [ONE, TWO]}, indent=2).replace("\n", "\r\n"),
            id="wrapped and indented on Windows",
        ),
        pytest.param(
            "jobs.json", f'{{"jobs": [\n{ONE_LINE},\n{TWO_LINE}\n]}}\n', id="wrapped, one a line"
        ),
        pytest.param("jobs.json", f'\n{{"jobs": [{ONE_LINE}, {TWO_LINE}]}}', id="wrapped, blank"),
        pytest.param(
            "jobs.csv",
            "title,url\nEngineer,https://example.com/1\nDesigner,https://example.com/2\n",
            id="CSV",
        ),
        pytest.param(
            "jobs.txt",
            "title, url\r\nEngineer,https://example.com/1\r\nDesigner,https://example.com/2\r\n",
            id="CSV by another name, from Windows, with a blank in the head",
        ),
    ],
)
async def test_every_layout_gives_the_same_postings(
    tmp_path: Path, name: str, content: str
) -> None:
    """JSONL, array, wrapped array and CSV are told apart by what stands in the file."""
    reading = await read(tmp_path, content, name)
    assert [(p.title, p.url) for p in reading.opportunities] == [
        ("Engineer", "https://example.com/1"),
        ("Designer", "https://example.com/2"),
    ]
    assert reading.unreadable == {}
    assert {p.source for p in reading.opportunities} == {"file"}


async def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    """Files that begin with a BOM read as those that don't."""
    mark = b"\xef\xbb\xbf"
    assert titles(await read(tmp_path, mark + f"{ONE_LINE}\n{TWO_LINE}".encode())) == [
        "Engineer",
        "Designer",
    ]
    assert titles(await read(tmp_path, mark + b"title,url\nEngineer,x\n", "a.csv")) == ["Engineer"]


async def test_columns_of_a_csv_may_have_any_known_name(tmp_path: Path) -> None:
    """The aliases of fields hold for CSV; quoted cells keep commas and line breaks."""
    content = (
        "jobTitle,companyName,job_url,location,salary,tags,postedAt,unknown\n"
        '"Engineer, Backend",Larkfield,https://example.com/1,"Berlin, Germany",'
        '"€60,000 - €70,000 per year","python, sql",2026-05-14,"two\nlines"\n'
    )
    (posting,) = (await read(tmp_path, content, "jobs.csv")).opportunities
    assert posting.title == "Engineer, Backend"
    assert posting.organisation == "Larkfield"
    assert posting.url == "https://example.com/1"
    assert posting.locations == ("Berlin, Germany",)
    assert posting.skills == ("python", "sql")
    assert posting.pay is not None
    assert (posting.pay.min, posting.pay.max) == (60_000, 70_000)
    assert posting.posted_at is not None


async def test_ragged_rows_of_a_csv_are_read(tmp_path: Path) -> None:
    """Rows with cells too few or too many keep what has a column; rows without title count."""
    content = "title,url\nEngineer\nDesigner,https://example.com/2,more,still more\n,x\n"
    reading = await read(tmp_path, content, "jobs.csv")
    assert [(p.title, p.url) for p in reading.opportunities] == [
        ("Engineer", None),
        ("Designer", "https://example.com/2"),
    ]
    assert reading.unreadable == {"no title": 1}


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(ONE, id="plain"),
        pytest.param({**ONE, "skills": [{"name": "Python"}]}, id="with a list of objects"),
        pytest.param(
            {"jobTitle": "Engineer", "jobUrl": ONE["url"], "skills": [{"name": "Python"}]},
            id="its title under another name, with a list of objects",
        ),
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
async def test_one_object_is_one_record(
    tmp_path: Path, record: dict[str, object], indent: int | None
) -> None:
    """A file that holds one posting gives that posting, not the entries of its lists."""
    reading = await read(tmp_path, json.dumps(record, indent=indent), "job.json")
    assert titles(reading) == ["Engineer"]


# --- what can't be used -----------------------------------------------------------------------


async def test_broken_lines_are_counted_and_the_rest_is_used(tmp_path: Path) -> None:
    """Each record that can't be read is counted under its reason, whatever stands beside it."""
    lines = [ONE_LINE, '{"title": "cut', "not json", "5", '{"url": "https://x.io"}', TWO_LINE]
    reading = await read(tmp_path, "\n".join(lines))
    assert titles(reading) == ["Engineer", "Designer"]
    assert reading.unreadable == {"broken line": 2, "not an object": 1, "no title": 1}


async def test_a_record_without_a_link_is_kept_and_other_schemes_are_dropped(
    tmp_path: Path,
) -> None:
    """A posting needs no link, and has none rather than one that is no web link."""
    records = [{"title": "A"}, {"title": "B", "url": "javascript:alert(1)"}, {"title": "C"}]
    reading = await read(tmp_path, "\n".join(map(json.dumps, records)))
    assert [(p.title, p.url) for p in reading.opportunities] == [
        ("A", None),
        ("B", None),
        ("C", None),
    ]


@pytest.mark.parametrize("content", ["", "\n\n", " \n\t", "[]", "title,url\n", '{"jobs": []}'])
async def test_an_empty_file_gives_nothing(tmp_path: Path, content: str) -> None:
    """No records are no failure: there is nothing to find, and nothing that can't be read."""
    reading = await read(tmp_path, content, "jobs.dat")
    assert reading == Reading(opportunities=())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"\x89PNG\r\n\x1a\n\xff\xfe", "not a text file", id="binary"),
        pytest.param(b"title\x00url", "not a text file", id="NUL"),
        pytest.param("title,url\nü,x".encode("utf-16"), "not a text file", id="UTF-16"),
        pytest.param("title,url\nZürich,x".encode("latin-1"), "not a text file", id="Latin-1"),
        pytest.param(b'[{"title": "cut', "not valid JSON", id="cut array"),
        pytest.param(b"[" * 200_000, "not valid JSON", id="deep array"),
        pytest.param(b"hello\nworld\n", "none of its 2 records", id="prose"),
        pytest.param(b"[1, 2, 3]", "none of its 3 records", id="numbers"),
        pytest.param(b'{"a": 1}', "none of its 1 records", id="another object"),
        pytest.param(b"a,b\n1,2\n", "none of its 1 records", id="another CSV"),
        pytest.param(
            b'title,url\n"' + b"x" * 200_000 + b'",y\n', "not valid CSV", id="an endless cell"
        ),
    ],
)
async def test_a_file_that_holds_no_postings_fails_with_the_reason(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    """The failure names the file and says in one line what is wrong with it."""
    with pytest.raises(SourceFailed, match=reason) as failed:
        await read(tmp_path, content, "jobs.dat")
    assert str(failed.value).startswith("file jobs.dat: ")
    assert "\n" not in str(failed.value)


async def test_a_deep_line_is_a_broken_line(tmp_path: Path) -> None:
    """Nesting without end in one line costs that line alone."""
    deep = '{"a":' * 100_000
    reading = await read(tmp_path, f"{ONE_LINE}\n{deep}\n{TWO_LINE}")
    assert titles(reading) == ["Engineer", "Designer"]
    assert reading.unreadable == {"broken line": 1}


async def test_a_missing_file_fails_with_its_path(tmp_path: Path) -> None:
    """Whoever mistyped a path sees the path."""
    path = tmp_path / "nowhere" / "jobs.jsonl"
    with pytest.raises(SourceFailed, match=r"no such file .*nowhere"):
        await FileSource(path, NOW).read()


@pytest.mark.parametrize("path", ["", os.devnull])
async def test_a_directory_or_device_is_no_file(tmp_path: Path, path: str) -> None:
    """Only files are read, so that a pipe or device never blocks."""
    with pytest.raises(SourceFailed, match="not a file"):
        await FileSource(tmp_path / path, NOW).read()


@pytest.mark.parametrize("name", ["x" * 5000, "a\x00b"], ids=["too long", "with a NUL"])
async def test_an_impossible_name_fails(tmp_path: Path, name: str) -> None:
    """A name that no file can have fails as a source, not with a traceback."""
    with pytest.raises(SourceFailed):
        await FileSource(tmp_path / name, NOW).read()


async def test_too_large_a_file_is_refused_unread(tmp_path: Path) -> None:
    """A file over the bound is refused by its size."""
    file = tmp_path / "jobs.jsonl"
    with file.open("wb") as sparse:
        sparse.truncate(FILE_BYTES_MAX + 1)
    with pytest.raises(SourceFailed, match="100,000,001 bytes"):
        await FileSource(file, NOW).read()


async def test_too_many_records_are_refused(tmp_path: Path) -> None:
    """A file with more records than are read is refused."""
    with pytest.raises(SourceFailed, match="more than 200,000 records"):
        await read(tmp_path, "5\n" * (RECORDS_MAX + 1))


async def test_reading_can_be_cancelled(tmp_path: Path) -> None:
    """A cancelled read ends as cancelled."""
    file = tmp_path / "jobs.jsonl"
    file.write_text(f"{ONE_LINE}\n" * 20_000)
    reading = asyncio.create_task(FileSource(file, NOW).read())
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading


def catalogue() -> Catalogue:
    """The sources that need no network."""
    return Catalogue(
        clock=FixedClock(),
        shelf=MemoryShelf(),
        work=SingleFlight(),
        readings=memory_readings(FixedClock()),
    )


async def test_a_spreadsheets_headers_are_understood(tmp_path: Path) -> None:
    """Capitals and blanks in a header do not matter."""
    reading = await read(
        tmp_path, "Job Title,Company,Link\nEngineer,Acme,https://x.io/1\n", "a.csv"
    )
    (posting,) = reading.opportunities
    assert (posting.title, posting.organisation) == ("Engineer", "Acme")
    assert posting.url == "https://x.io/1"


# --- specs ------------------------------------------------------------------------------------


def test_a_spec_names_a_source(tmp_path: Path) -> None:
    """`file:PATH` is a file, also with a colon in its name; `sample` the shipped postings."""
    for spec, label in (
        (f"file:{tmp_path}/jobs:2.jsonl", "file jobs:2.jsonl"),
        ("file:~/jobs.jsonl", "file jobs.jsonl"),
        ("sample", "sample"),
    ):
        (source,) = catalogue().resolve(spec, Need())
        assert source.label == label


@pytest.mark.parametrize(
    "spec", ["", "file", "file:", "samples", "sample:x", "http://x.io", "FILE:x"]
)
def test_an_unknown_spec_is_refused_with_those_that_exist(spec: str) -> None:
    """The error says what a source can be."""
    with pytest.raises(InvalidValue, match="file:PATH"):
        catalogue().check(spec)
