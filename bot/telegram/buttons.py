"""What a button means, written into Telegram's 64 bytes and read back.

The text begins with a version, so that a button of an older program is known as such.
"""

from dataclasses import dataclass
from enum import StrEnum

from agents.domain.kind import Kind

_VERSION = "1"
BYTES_MAX = 64


class Action(StrEnum):
    """What a tap asks for."""

    PICK = "pick"  # choose a match of the page
    SAVE = "save"
    DRAFT = "draft"
    DISMISS = "not"
    PAGE = "page"  # also More
    FUNNEL = "why"
    REFRESH = "again"
    SCOUT = "scout"
    UNSAVE = "unsave"
    EDIT = "edit"  # a field of the profile
    KIND = "kind"  # one kind on or off
    REMOTE = "remote"
    SKIP = "skip"  # a question of the set-up
    DONE = "done"


class Field(StrEnum):
    """A part of the profile that a text can fill."""

    SKILLS = "skills"
    LOCATIONS = "locations"
    KINDS = "kinds"
    MIN_PAY = "min"
    ABOUT = "about"


SCOUTING = frozenset({Action.REFRESH, Action.SCOUT})
"""The actions that start a scout."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tap:
    """A button's meaning. `subject` is a run's id, a posting's id, a field or a kind; `rank` is a
    match's, or for a switch what it is turned to: 1 on, 0 off, the same however often it comes."""

    action: Action
    subject: str = ""
    page: int = 0
    rank: int = 0

    def encode(self) -> str:
        """The button's data, 64 bytes at most."""
        data = f"{_VERSION}:{self.action}:{self.subject}:{self.page}:{self.rank}"
        assert len(data.encode()) <= BYTES_MAX, data  # noqa: S101 - ids are 16 characters
        return data


class OldButton(Exception):  # noqa: N818 - names the thing
    """The data is not one that this program writes."""


def decode(data: str) -> Tap:
    """The meaning of a button's data; raises OldButton."""
    match data.split(":"):
        case [version, action, subject, page, rank] if version == _VERSION:
            try:
                return Tap(action=Action(action), subject=subject, page=int(page), rank=int(rank))
            except ValueError:
                raise OldButton(data) from None
        case _:
            raise OldButton(data)


def field_of(tap: Tap) -> Field:
    """The profile's field that a button names; raises OldButton."""
    try:
        return Field(tap.subject)
    except ValueError:
        raise OldButton(tap.subject) from None


def kind_of(tap: Tap) -> Kind:
    """The kind that a button names; raises OldButton."""
    try:
        return Kind(tap.subject)
    except ValueError:
        raise OldButton(tap.subject) from None
