"""Words that a posting may not say: "not crypto"."""

import re
from collections.abc import Sequence

from agents.domain.opportunity import Opportunity
from agents.domain.place import fold
from agents.domain.skill import known_skill
from agents.domain.untrusted import READ_MAX

_STEM_MIN = 5


def without(
    opportunities: Sequence[Opportunity], words: Sequence[str]
) -> tuple[Sequence[Opportunity], int]:
    """The postings that say none of the words, and how many do. A word of five letters or more
    that is no skill stands for longer ones too: "crypto" is also in "cryptocurrency"."""
    said = [_pattern(fold(word)) for word in words if any(map(str.isalnum, fold(word)))]
    if not said:
        return opportunities, 0
    pattern = re.compile("|".join(said))
    kept = [o for o in opportunities if not pattern.search(_text(o))]
    return kept, len(opportunities) - len(kept)


def _pattern(word: str) -> str:
    whole = len(word) < _STEM_MIN or known_skill(word)
    end = r"s?(?!\w)" if whole else ""
    return rf"(?<!\w){re.escape(word)}{end}"


def _text(o: Opportunity) -> str:
    described = (o.description or "")[:READ_MAX]
    parts = (o.title, o.organisation or "", *o.locations, " ".join(o.skills), described)
    return fold("\n".join(parts))
