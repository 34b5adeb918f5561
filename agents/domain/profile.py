"""Who the opportunities are for."""

from dataclasses import dataclass

from agents.domain.errors import InvalidValue, require_text
from agents.domain.kind import Kind
from agents.domain.pay import MinPay

SKILLS_MAX = 500
SKILL_LENGTH_MAX = 80
LOCATIONS_MAX = 20
LOCATION_LENGTH_MAX = 120
ABOUT_MAX = 4_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What a person can do and wants. Empty fields ask for nothing."""

    skills: tuple[str, ...] = ()
    locations: tuple[str, ...] = ()
    remote: bool = False
    kinds: tuple[Kind, ...] = ()
    min_pay: MinPay | None = None
    about: str = ""

    def __post_init__(self) -> None:
        _require_list("skills", self.skills, SKILLS_MAX, SKILL_LENGTH_MAX)
        _require_list("locations", self.locations, LOCATIONS_MAX, LOCATION_LENGTH_MAX)
        require_text("about", self.about, ABOUT_MAX)

    @property
    def empty(self) -> bool:
        """Whether nothing was ever said."""
        return self == Profile()


def _require_list(field: str, values: tuple[str, ...], most: int, longest: int) -> None:
    if len(values) > most:
        raise InvalidValue(field, f"{len(values)} entries", f"at most {most}")
    for value in values:
        if not value.strip():
            raise InvalidValue(field, "an empty entry", "words, separated by commas")
        require_text(f"{field} ({value[:20]}…)", value, longest)
