"""Free text that somebody writes, and what came of it."""

from dataclasses import dataclass, field

from agents.domain.errors import InvalidValue, require_text
from agents.domain.profile import Profile
from agents.domain.run import SOURCES_MAX, ScoutResult

TEXT_MAX = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class AskRequest:
    """What somebody wrote, and who they are. With `remember` earlier texts of theirs are taken into
    account, and what they tell of themselves goes into their profile.

    `sample_fallback` is as for a scout.
    """

    text: str
    profile: Profile = field(default_factory=Profile)
    sources: tuple[str, ...] = ()
    limit: int = 10
    config: str = "ask@1"
    remember: bool = False
    sample_fallback: bool = False

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise InvalidValue("text", "empty", "what you want, in words")
        require_text("text", self.text, TEXT_MAX)
        if len(self.sources) > SOURCES_MAX:
            raise InvalidValue("source", f"{len(self.sources)} sources", f"at most {SOURCES_MAX}")


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A tool that was used for an answer, and whether it did what it was to do."""

    tool: str
    ok: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AskResult(ScoutResult):
    """What an ask run came to: what it scouted, and beside it the answer."""

    reply: str
    actions: tuple[ToolUse, ...]
    drafted_for: tuple[str, ...]
    """The titles of what `drafts` are for, in their order."""
