"""A profile from text: one line for all of it, or an answer to one question."""

import re
from collections.abc import Callable
from dataclasses import replace

from agents.discovery.pay_text import parse_min_pay
from agents.domain.errors import InvalidValue
from agents.domain.kind import parse_kinds
from agents.domain.place import split_locations
from agents.domain.profile import Profile
from agents.domain.skill import split_skills
from bot.telegram.buttons import Field

ALLOWED = "skills, location, remote, kinds, min, about"
_NOTHING = frozenset({"-", "none", "no", "any", "all", ""})
_YES = frozenset({"yes", "y", "true", "on", "ok"})
_NO = frozenset({"no", "n", "false", "off"})
_PART = re.compile(r"\s*(?P<name>[^:;]{1,40}?)\s*:\s*(?P<value>.*)", re.DOTALL)


def read_line(line: str, profile: Profile) -> Profile:
    """`profile` with the parts that the line names; all of them are valid or nothing changes.

    Raises InvalidValue. `about` goes on to the next part by name, semicolons and all.
    """
    rest = line
    while rest.strip():
        part = _PART.match(rest)
        if part is None:
            raise InvalidValue(
                "profile", f"can't read {rest.strip()[:60]!r}", f"name: value; {ALLOWED}"
            )
        name = part["name"].lower()
        # What people write about themselves may have semicolons and colons of its own.
        ends = _NEXT_PART if name == "about" else _SEMICOLON
        value, *others = ends.split(part["value"], maxsplit=1)
        rest = others[0] if others else ""
        if name not in _READERS:
            raise InvalidValue("profile", f"unknown part {name[:40]!r}", ALLOWED)
        profile = _READERS[name](profile, value.strip())
    return profile


def read_answer(field: Field, text: str, profile: Profile) -> Profile:
    """`profile` with the answer to the question for `field`; raises InvalidValue."""
    return _READERS[_READER_OF[field]](profile, text.strip())


def _skills(profile: Profile, text: str) -> Profile:
    return replace(profile, skills=() if text.lower() in _NOTHING else split_skills(text))


def _locations(profile: Profile, text: str) -> Profile:
    """Places; the word remote among them is the wish for remote work."""
    if text.lower() in _NOTHING:
        return replace(profile, locations=())
    places = split_locations(text)
    named = tuple(p for p in places if p.lower() not in {"remote", "anywhere"})
    return replace(profile, locations=named, remote=profile.remote or named != places)


def _remote(profile: Profile, text: str) -> Profile:
    word = text.lower()
    if word not in _YES | _NO:
        raise InvalidValue("remote", repr(text[:40]), "yes or no")
    return replace(profile, remote=word in _YES)


def _kinds(profile: Profile, text: str) -> Profile:
    return replace(profile, kinds=() if text.lower() in _NOTHING else parse_kinds(text))


def _min_pay(profile: Profile, text: str) -> Profile:
    none = text.lower() in _NOTHING
    return replace(profile, min_pay=None if none else parse_min_pay(text))


def _about(profile: Profile, text: str) -> Profile:
    return replace(profile, about="" if text == "-" else text)


_READERS: dict[str, Callable[[Profile, str], Profile]] = {
    "skills": _skills,
    "skill": _skills,
    "location": _locations,
    "locations": _locations,
    "place": _locations,
    "places": _locations,
    "remote": _remote,
    "kinds": _kinds,
    "kind": _kinds,
    "min": _min_pay,
    "min pay": _min_pay,
    "about": _about,
}
_SEMICOLON = re.compile(";")
_NEXT_PART = re.compile(rf";\s*(?=(?:{'|'.join(_READERS)})\s*:)", re.IGNORECASE)
_READER_OF = {
    Field.SKILLS: "skills",
    Field.LOCATIONS: "locations",
    Field.KINDS: "kinds",
    Field.MIN_PAY: "min",
    Field.ABOUT: "about",
}
