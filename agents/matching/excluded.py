"""Words that a posting may not say: "not crypto"."""

import re
from collections.abc import Sequence

from agents.domain.opportunity import Opportunity
from agents.domain.place import fold
from agents.domain.untrusted import READ_MAX


def without(
    opportunities: Sequence[Opportunity], words: Sequence[str]
) -> tuple[Sequence[Opportunity], int]:
    """The postings that say none of the words (nor a longer form: "crypto" is also in
    "cryptocurrency"), and how many do."""
    said = [re.escape(fold(word)) for word in words if word.strip()]
    if not said:
        return opportunities, 0
    pattern = re.compile(rf"\b(?:{'|'.join(said)})")
    kept = [o for o in opportunities if not pattern.search(_text(o))]
    return kept, len(opportunities) - len(kept)


def _text(o: Opportunity) -> str:
    parts = (o.title, o.organisation or "", " ".join(o.skills), (o.description or "")[:READ_MAX])
    return fold("\n".join(parts))
