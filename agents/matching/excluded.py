"""Words that a posting may not say: "not crypto"."""

import re
from collections.abc import Sequence

from agents.domain.opportunity import Opportunity
from agents.domain.place import fold
from agents.domain.skill import known_skill
from agents.domain.untrusted import READ_MAX

_STEM_MIN = 5
_CRYPTO = (
    "crypto", "blockchain", "web3", "web 3", "defi", "nft", "dapp", "bitcoin", "ethereum",
    "solana", "solidity", "stablecoin", "tokenomics", "smart contract", "altcoin", "memecoin",
)  # fmt: skip
_GAMBLING = ("gambling", "casino", "betting", "sportsbook", "igaming", "poker", "lottery")
_WEAPONS = ("weapon", "defense", "defence", "military", "munition", "missile", "warfare")
_ADULT = ("adult content", "adult entertainment", "porn", "onlyfans", "erotic", "nsfw")
# What somebody means who wants nothing of a whole trade: postings of it need not say its name.
_TRADES = {
    "crypto": _CRYPTO, "cryptocurrency": _CRYPTO, "cryptocurrencies": _CRYPTO, "web3": _CRYPTO,
    "blockchain": _CRYPTO,
    "gambling": _GAMBLING, "casino": _GAMBLING, "casinos": _GAMBLING, "betting": _GAMBLING,
    "weapons": _WEAPONS, "weapon": _WEAPONS, "military": _WEAPONS, "arms": (*_WEAPONS, "arms"),
    "defense": _WEAPONS, "defence": _WEAPONS,
    "adult": _ADULT, "porn": _ADULT,
}  # fmt: skip


def without(
    opportunities: Sequence[Opportunity], words: Sequence[str]
) -> tuple[Sequence[Opportunity], int]:
    """The postings that say none of the words, and how many do. A word of five letters or more
    that is no skill stands for longer ones too: "crypto" is also in "cryptocurrency"; the name of a
    trade for what its postings say: "crypto" for "DeFi"."""
    folded = [fold(word).strip() for word in words]
    meant = [also for word in folded for also in _TRADES.get(word, (word,))]
    said = [_pattern(word) for word in meant if any(map(str.isalnum, word))]
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
