"""The domain's one error."""


class InvalidValue(ValueError):  # noqa: N818 - a value that is invalid, as the field says it
    """A value that can't be: which field, what is wrong with it, what is allowed."""

    def __init__(self, field: str, problem: str, allowed: str) -> None:
        super().__init__(f"{field}: {problem}; allowed: {allowed}")
        self.field = field
        self.problem = problem
        self.allowed = allowed


def require_text(field: str, text: str, longest: int) -> None:
    """Refuse a text over `longest` characters, or one that no database can hold."""
    if not _storable(text):
        raise InvalidValue(field, "a NUL or half a character in it", "any other characters")
    if len(text) > longest:
        raise InvalidValue(field, f"{len(text):,} characters", f"at most {longest:,}")


def _storable(text: str) -> bool:
    if "\x00" in text:
        return False
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False
