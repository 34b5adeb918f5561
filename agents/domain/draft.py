"""An application written for one posting."""

from dataclasses import dataclass
from enum import StrEnum

from agents.domain.errors import InvalidValue, require_text

DRAFT_MAX = 6_000


class DraftMethod(StrEnum):
    """What wrote it."""

    LLM = "llm"
    TEMPLATE = "template"


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An application draft. What nobody told us stands in it as `[fill in: ...]`."""

    opportunity_id: str
    method: DraftMethod
    text: str

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise InvalidValue("draft", "empty", "a text")
        require_text("draft", self.text, DRAFT_MAX)
