"""What people keep, the same on SQLite and on PostgreSQL."""

import asyncio
from datetime import timedelta

from agents.domain.profile import Profile
from agents.domain.run import SavedItem
from tests.contract.conftest import Stores
from tests.contract.given import PROFILE
from tests.fakes.clock import NOON
from tests.fakes.opportunities import opportunity


async def test_a_person_is_known_by_the_channels_id(stores: Stores) -> None:
    """The same id on the same channel is the same person, on another channel another."""
    ada = await stores.people.person("telegram", "17")

    assert await stores.people.person("telegram", "17") == ada
    assert ada.expecting is None
    others = [await stores.people.person(*key) for key in (("local", "17"), ("telegram", "18"))]
    assert len({ada.id, *(other.id for other in others)}) == 3


async def test_a_person_who_writes_twice_at_once_is_one_person(stores: Stores) -> None:
    """First sight in ten places at the same moment makes one person known."""
    found = await asyncio.gather(*(stores.people.person("telegram", "17") for _ in range(10)))

    assert len({person.id for person in found}) == 1


async def test_the_question_that_a_text_answers_is_remembered(stores: Stores) -> None:
    """Until it is answered, and only for the person who was asked."""
    ada = await stores.people.person("local", "1")
    await stores.people.person("local", "2")
    await stores.people.expect(ada.id, "skills")
    assert (await stores.people.person("local", "1")).expecting == "skills"
    assert (await stores.people.person("local", "2")).expecting is None
    await stores.people.expect(ada.id, None)
    assert (await stores.people.person("local", "1")).expecting is None


async def test_a_profile_comes_back_as_it_was_kept(stores: Stores) -> None:
    """Every field, whatever characters it holds; a second one replaces the first."""
    ada = (await stores.people.person("local", "1")).id
    assert await stores.people.profile(ada) == Profile()
    await stores.people.keep_profile(ada, PROFILE)
    assert await stores.people.profile(ada) == PROFILE
    await stores.people.keep_profile(ada, Profile(about="new"))
    assert await stores.people.profile(ada) == Profile(about="new")


async def test_people_are_closed_to_each_other(stores: Stores) -> None:
    """What one keeps, saves and dismisses is not there for the other."""
    ada = (await stores.people.person("local", "1")).id
    bob = (await stores.people.person("local", "2")).id
    await stores.postings.keep([opportunity(id="p-1")])
    await stores.people.keep_profile(ada, PROFILE)
    await stores.people.save(ada, "p-1")
    await stores.people.dismiss(ada, "p-2")

    assert await stores.people.profile(bob) == Profile()
    assert await stores.people.saved(bob) == []
    assert await stores.people.dismissed(bob) == frozenset()
    assert await stores.people.unsave(bob, "p-1") is False
    assert len(await stores.people.saved(ada)) == 1
    assert await stores.people.save(bob, "p-1") is True


async def test_saving_twice_keeps_once(stores: Stores) -> None:
    """The second save says that it was kept already, and so does a second unsave."""
    ada = (await stores.people.person("local", "1")).id
    found = opportunity(id="p-1", deadline=NOON + timedelta(days=9))
    await stores.postings.keep([found])

    assert [await stores.people.save(ada, "p-1") for _ in range(2)] == [True, False]
    assert await stores.people.saved(ada) == [
        SavedItem(
            opportunity_id="p-1",
            title=found.title,
            organisation=found.organisation,
            url=found.url,
            deadline=found.deadline,
            source=found.source,
            saved_at=NOON,
        )
    ]
    assert [await stores.people.unsave(ada, "p-1") for _ in range(2)] == [True, False]
    assert await stores.people.saved(ada) == []


async def test_saving_twice_at_once_keeps_once(stores: Stores) -> None:
    """A double tap is two saves at the same moment: one of them is the first."""
    ada = (await stores.people.person("local", "1")).id
    await stores.postings.keep([opportunity(id="p-1")])
    kept = await asyncio.gather(*(stores.people.save(ada, "p-1") for _ in range(6)))

    assert sorted(kept) == [False] * 5 + [True]
    assert len(await stores.people.saved(ada)) == 1


async def test_saved_postings_are_newest_first(stores: Stores) -> None:
    """In the order of saving, the last one on top."""
    ada = (await stores.people.person("local", "1")).id
    await stores.postings.keep([opportunity(id=f"p-{n}") for n in (1, 2, 3)])
    for posting_id in ("p-2", "p-3", "p-1"):
        stores.clock.advance(1.0)
        await stores.people.save(ada, posting_id)

    assert [i.opportunity_id for i in await stores.people.saved(ada)] == ["p-1", "p-3", "p-2"]


async def test_dismissing_twice_dismisses_once(stores: Stores) -> None:
    """The second time says that it was so already."""
    ada = (await stores.people.person("local", "1")).id

    assert [await stores.people.dismiss(ada, "p-1") for _ in range(2)] == [True, False]
    assert await stores.people.dismissed(ada) == frozenset({"p-1"})
