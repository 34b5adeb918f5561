"""How one kind of value is cached."""

from dataclasses import dataclass

_LONGEST_S = 100 * 365 * 24 * 3600.0
"""A century: all times are shorter, so that every instant can be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """How one kind of value is cached. Times in seconds. `name` and `version` are part of the key:
    another version of what is stored needs another number."""

    name: str
    version: int
    memory_s: float = 15 * 60.0
    """How long memory does not ask the second tier."""
    fresh_s: float = 3600.0
    """How long a value is current."""
    kept_s: float = 7 * 24 * 3600.0
    """How long it is kept, for when it can't be loaded anew."""
    nothing_s: float = 60.0
    """How long "nothing found" is current."""
    jitter: float = 0.1
    """Times are up to this share longer, so that what came together does not go together."""
    patience_s: float | None = None
    """How long a caller waits for a load when there is an old value; None for its end."""
    error_pause_s: float = 30.0
    """How long an old value is given out after a load failed, before the next load."""

    def __post_init__(self) -> None:
        for field in ("memory_s", "fresh_s", "kept_s", "nothing_s"):
            refuse_unless_above_zero(field, getattr(self, field))
        for field in ("version", "error_pause_s", "patience_s"):
            value = getattr(self, field)
            if value is not None and not 0 <= value < _LONGEST_S:
                raise ValueError(f"{field}: {value}, must be 0 or more")
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"jitter: {self.jitter}, must be 0 to 1")
        if not self.name:
            raise ValueError("name: empty")


def refuse_unless_above_zero(field: str, value: float) -> None:
    if not 0 < value < _LONGEST_S:
        raise ValueError(f"{field}: {value}, must be above 0")
