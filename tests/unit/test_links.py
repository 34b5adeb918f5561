"""Two links are one where they lead to the same posting, whatever else they carry."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.discovery.links import Target, canonical_link, read_link

UUID = "3f2b8c1e-9d47-4a6b-8e21-5c0d7f9a1b34"
OTHER = "7a1c0d2e-1b35-4f6a-9c88-2d4e6f8a0b12"


@pytest.mark.parametrize(
    ("why", "one", "other"),
    [
        ("scheme", "http://tarn.example/jobs/12", "https://tarn.example/jobs/12"),
        ("www", "https://www.tarn.example/jobs/12", "https://tarn.example/jobs/12"),
        ("host case", "https://Tarn.Example/jobs/12", "https://tarn.example/jobs/12"),
        ("usual port", "https://tarn.example:443/jobs/12", "https://tarn.example/jobs/12"),
        ("usual port", "http://tarn.example:80/jobs/12", "http://tarn.example/jobs/12"),
        ("root dot", "https://tarn.example./jobs/12", "https://tarn.example/jobs/12"),
        ("slash at the end", "https://tarn.example/jobs/12/", "https://tarn.example/jobs/12"),
        ("slashes", "https://tarn.example//jobs/12", "https://tarn.example/jobs/12"),
        ("home page", "https://tarn.example/", "https://tarn.example"),
        ("escapes", "https://tarn.example/a%2c-b/12", "https://tarn.example/a%2C-b/12"),
        ("form", "https://tarn.example/jobs/12/apply", "https://tarn.example/jobs/12"),
        ("form", "https://tarn.example/jobs/12/application/", "https://tarn.example/jobs/12"),
        ("steps", "https://tarn.example/jobs/12/apply/applyManually", "https://tarn.example/jobs/12"),
        ("utm", "https://tarn.example/jobs/12?utm_source=x&UTM_Medium=y", "https://tarn.example/jobs/12"),
        ("gh_src", "https://tarn.example/jobs/12?gh_src=ab1", "https://tarn.example/jobs/12"),
        ("ref", "https://tarn.example/jobs/12?ref=list&source=mail", "https://tarn.example/jobs/12"),
        ("trk", "https://tarn.example/jobs/12?trk=a&refId=b&trackingId=c", "https://tarn.example/jobs/12"),
        ("lever", "https://tarn.example/jobs/12?lever-source%5B%5D=X", "https://tarn.example/jobs/12"),
        ("ads", "https://tarn.example/jobs/12?gclid=1&fbclid=2", "https://tarn.example/jobs/12"),
        ("empty value", "https://tarn.example/jobs/12?t=", "https://tarn.example/jobs/12"),
        ("language", "https://tarn.example/jobs/12?lang=de", "https://tarn.example/jobs/12"),
        ("order", "https://tarn.example/j?job=7&site=2", "https://tarn.example/j?site=2&job=7"),
        ("key case", "https://tarn.example/j?jobId=7", "https://tarn.example/j?jobid=7"),
        ("search", "https://tarn.example/j?jobId=7&query=sql&sort_by=new", "https://tarn.example/j?jobId=7"),
        ("anchor", "https://tarn.example/jobs/12#apply", "https://tarn.example/jobs/12"),
        ("text anchor", "https://tarn.example/jobs/12#:~:text=a/b", "https://tarn.example/jobs/12"),
        ("empty route", "https://tarn.example/jobs/12#/", "https://tarn.example/jobs/12"),
        ("home route", "https://tarn.example/#/home", "https://tarn.example/"),
        ("route's query", "https://tarn.example/#/job/9?utm_medium=x", "https://tarn.example/#/job/9/"),
        ("hash bang", "https://tarn.example/#!/job/9", "https://tarn.example/#/job/9"),
        ("tracking anchor", "https://tarn.example/jobs/12#utm_source=x", "https://tarn.example/jobs/12"),
        ("locale", "https://tarn.example/en-US/jobs/12", "https://tarn.example/jobs/12"),
        ("locales", "https://tarn.example/fr_CA/jobs/12", "https://tarn.example/en-us/jobs/12"),
        ("language path", "https://tarn.example/de/jobs/data-engineer", "https://tarn.example/jobs/data-engineer"),
        ("behind a country", "https://tarn.example/us/en/jobs/12", "https://tarn.example/us/jobs/12"),
        ("locale host", "https://en-us.tarn.example/jobs/12", "https://tarn.example/jobs/12"),
    ],
)  # fmt: skip
def test_what_says_nothing_makes_no_difference(why: str, one: str, other: str) -> None:
    """The scheme, the way a reader came, the language and the form are not the posting."""
    assert canonical_link(one) == canonical_link(other), why


@pytest.mark.parametrize(
    ("why", "one", "other"),
    [
        ("host", "https://tarn.example/jobs/12", "https://fell.example/jobs/12"),
        ("site of a host", "https://jobs.tarn.example/12", "https://tarn.example/12"),
        ("port", "https://tarn.example:8443/jobs/12", "https://tarn.example/jobs/12"),
        ("path", "https://tarn.example/jobs/12", "https://tarn.example/jobs/13"),
        ("path case", "https://tarn.example/j/aBcD", "https://tarn.example/j/abCd"),
        ("gh_jid", "https://tarn.example/job?gh_jid=41", "https://tarn.example/job?gh_jid=42"),
        ("jk", "https://tarn.example/view?jk=0a1b", "https://tarn.example/view?jk=0a1c"),
        ("id", "https://tarn.example/view?id=1", "https://tarn.example/view?id=2"),
        ("jobId", "https://tarn.example/view?jobId=1", "https://tarn.example/view?jobId=2"),
        ("job_id", "https://tarn.example/view?job_id=1", "https://tarn.example/view?job_id=2"),
        ("pid", "https://tarn.example/view?pid=1", "https://tarn.example/view?pid=2"),
        ("Job", "https://tarn.example/view?Job=1", "https://tarn.example/view?Job=2"),
        ("req", "https://tarn.example/view?req=A-1", "https://tarn.example/view?req=A-2"),
        ("client", "https://tarn.example/v?job=1&client=a", "https://tarn.example/v?job=1&client=b"),
        ("unknown name", "https://tarn.example/v?x=1", "https://tarn.example/v?x=2"),
        ("bare number", "https://tarn.example/v?4600123", "https://tarn.example/v?4600124"),
        ("a search", "https://tarn.example/jobs?q=sql", "https://tarn.example/jobs?q=java"),
        ("route", "https://tarn.example/#/job/123", "https://tarn.example/#/job/124"),
        ("route", "https://tarn.example/jobs#en/job/211/", "https://tarn.example/jobs#en/job/212/"),
        ("route", "https://tarn.example/h#jobDetails=1_5", "https://tarn.example/h#jobDetails=2_5"),
        ("countries", "https://tarn.example/de/careers", "https://tarn.example/fr/careers"),
        ("countries", "https://tarn.example/us/jobs/12", "https://tarn.example/ca/jobs/12"),
        ("a word", "https://tarn.example/it/jobs/dev", "https://tarn.example/jobs/dev"),
        ("apply inside", "https://tarn.example/apply/12", "https://tarn.example/apply/13"),
    ],
)  # fmt: skip
def test_what_names_a_posting_makes_a_difference(why: str, one: str, other: str) -> None:
    """Numbers, ids, routes, hosts and pages of countries stay in."""
    assert canonical_link(one) != canonical_link(other), why


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://boards.greenhouse.io/tarn/jobs/4100200300?gh_src=z", "https://job-boards.greenhouse.io/tarn/jobs/4100200300"),
        ("https://boards.greenhouse.io/embed/job_app?for=tarn&token=4100200300", "https://boards.greenhouse.io/tarn/jobs/4100200300"),
        ("https://tarn.example/careers?gh_jid=4100200300", "https://boards.greenhouse.io/tarn/jobs/4100200300#app"),
        (f"https://jobs.lever.co/tarn/{UUID}/apply", f"https://jobs.lever.co/tarn/{UUID}?lever-origin=applied"),
        (f"https://jobs.ashbyhq.com/tarn/{UUID}/application", f"https://jobs.ashbyhq.com/Tarn/{UUID}"),
        (f"https://tarn.example/careers?ashby_jid={UUID}#open", f"https://jobs.ashbyhq.com/tarn/{UUID}"),
        ("https://jobs.smartrecruiters.com/Tarn/743999900000001-clerk?trid=1", "https://jobs.smartrecruiters.com/Tarn/743999900000001"),
        ("https://apply.workable.com/tarn/j/0A1B2C3D4E/apply/", "https://apply.workable.com/j/0A1B2C3D4E"),
        ("https://jobs.jobvite.com/tarn/job/oAbCdEfG?nl=1&fr=false", "https://jobs.jobvite.com/careers/tarn/job/oAbCdEfG"),
        ("https://www.linkedin.com/jobs/view/clerk-at-tarn-3900100200?trk=a", "https://de.linkedin.com/jobs/view/3900100200/"),
        ("https://www.linkedin.com/jobs/search/?currentJobId=3900100200&keywords=sql", "https://linkedin.com/jobs/view/3900100200"),
        ("https://www.indeed.com/viewjob?jk=0a1b2c3d4e5f6071&from=serp", "https://uk.indeed.com/rc/clk?jk=0a1b2c3d4e5f6071&fccid=9"),
        ("https://tarn.wd5.myworkdayjobs.com/en-US/Ext/job/Oslo/Clerk_R-0012/apply", "https://tarn.wd5.myworkdayjobs.com/Ext/details/Clerk-II_R-0012?source=x"),
        ("https://careers-tarn.icims.com/jobs/7001/clerk/job?mode=job&iis=Board", "https://careers-tarn.icims.com/jobs/7001/job?mobile=true"),
        ("https://abcd.fa.us2.oraclecloud.com/hcmUI/CandidateExperience/en/sites/CX/job/30071/", "https://abcd.fa.us2.oraclecloud.com/hcmUI/CandidateExperience/de/sites/CX_1/requisitions/preview/30071/apply/email?keyword=x"),
    ],
)  # fmt: skip
def test_a_board_has_several_links_for_a_posting(one: str, other: str) -> None:
    """A posting of a known board goes by its name there."""
    assert canonical_link(one) == canonical_link(other)
    assert read_link(one).target is Target.POSTING


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://boards.greenhouse.io/tarn/jobs/4100200300", "https://boards.greenhouse.io/tarn/jobs/4100200301"),
        ("https://tarn.example/careers?gh_jid=4100200300", "https://tarn.example/careers?gh_jid=4100200301"),
        ("https://tarn.example/careers?gh_jid=41", "https://fell.example/careers?gh_jid=41"),
        (f"https://jobs.lever.co/tarn/{UUID}", f"https://jobs.lever.co/tarn/{OTHER}"),
        ("https://www.linkedin.com/jobs/view/clerk-3900100200", "https://www.linkedin.com/jobs/view/clerk-3900100201"),
        ("https://www.indeed.com/viewjob?jk=0a1b2c3d4e5f6071", "https://www.indeed.com/viewjob?jk=0a1b2c3d4e5f6072"),
        ("https://tarn.wd5.myworkdayjobs.com/Ext/job/Oslo/Clerk_R-0012", "https://tarn.wd5.myworkdayjobs.com/Ext/job/Oslo/Clerk_R-0013"),
        ("https://tarn.wd5.myworkdayjobs.com/Ext/job/Oslo/Clerk_R-0012", "https://fell.wd5.myworkdayjobs.com/Ext/job/Oslo/Clerk_R-0012"),
        ("https://jobs.jobvite.com/tarn/job/oAbCdEfG", "https://jobs.jobvite.com/tarn/job/oaBcDeFg"),
    ],
)  # fmt: skip
def test_two_postings_of_a_board_are_two(one: str, other: str) -> None:
    """Names of a board are compared as a whole, and by tenant where tenants count by themselves."""
    assert canonical_link(one) != canonical_link(other)


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://tarn.example", Target.HOME),
        ("https://www.tarn.example/apply", Target.HOME),
        ("https://tarn.example/careers/", Target.LIST),
        ("https://tarn.example/company/jobs?team=data", Target.LIST),
        ("https://tarn.example/jobs/page/2", Target.LIST),
        ("https://tarn.example/grants/2026", Target.LIST),
        ("https://jobs.lever.co/tarn", Target.LIST),
        ("https://greenhouse.io", Target.LIST),
        ("https://tarn.example/jobs/data-engineer", Target.NAMED),
        ("https://tarn.example/about/position/clerk/apply", Target.NAMED),
        ("https://tarn.example/jobs/search", Target.LIST),
        ("https://tarn.example/jobs/search/oslo", Target.PAGE),
        ("https://tarn.example/careers/engineering", Target.PAGE),
        ("https://tarn.example/2026/03/hiring", Target.PAGE),
        ("https://tarn.example/jobs#/data-engineer", Target.PAGE),
        ("https://tarn.example/?p=data-engineer", Target.PAGE),
        ("https://tarn.example/jobs/12", Target.POSTING),
        ("https://tarn.example/jobs/clerk-10455", Target.POSTING),
        ("https://tarn.example/jobs/481/clerk", Target.POSTING),
        (f"https://tarn.example/{UUID}", Target.POSTING),
        ("https://tarn.example/careers?jobId=A", Target.POSTING),
        ("https://tarn.example/careers#/job/123", Target.POSTING),
    ],
)  # fmt: skip
def test_what_a_link_leads_to(url: str, target: Target) -> None:
    """A posting where a number or words name it, else a page, a list or the home page."""
    assert read_link(url).target is target


@pytest.mark.parametrize(
    "text",
    ["", "no link", "http://[broken", "https://tarn.example:port/1", "mailto:a@tarn.example"],
)
def test_what_is_no_link_stays(text: str) -> None:
    """A text that is no web link is its own form, and fails nothing."""
    assert canonical_link(text) == text


@given(st.text(max_size=60))
def test_any_text_has_one_form(rest: str) -> None:
    """No text fails, and the scheme never makes a difference."""
    assert canonical_link(rest) == read_link(rest).form
    assert canonical_link(f"http://tarn.example/{rest}") == canonical_link(
        f"https://tarn.example/{rest}"
    )
