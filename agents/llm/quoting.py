"""What others wrote, as it stands in a prompt: data of a bounded length, and nothing that talks to
the model."""

from agents.domain.untrusted import without_instructions
from agents.llm.tokens import cut_to

_ESCAPED = str.maketrans({'"': "'", "\\": "/"})
"""What JSON writes with two characters: texts are cut before they are encoded."""


def quoted(text: str | None, tokens_max: int) -> str:
    """The text without instructions, without what JSON would escape, cut to fit."""
    cleaned = without_instructions(text or "").text.translate(_ESCAPED)
    printable = "".join(c if c.isprintable() else " " for c in cleaned)
    return cut_to(" ".join(printable.split()), tokens_max)
