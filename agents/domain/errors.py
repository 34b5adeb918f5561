"""The domain's one error."""


class InvalidValue(ValueError):  # noqa: N818 - a value that is invalid, as the field says it
    """A value that can't be: which field, what is wrong with it, what is allowed."""

    def __init__(self, field: str, problem: str, allowed: str) -> None:
        super().__init__(f"{field}: {problem}; allowed: {allowed}")
        self.field = field
        self.problem = problem
        self.allowed = allowed


def require_length(field: str, text: str, longest: int) -> None:
    """Refuse a text over `longest` characters."""
    if len(text) > longest:
        raise InvalidValue(field, f"{len(text):,} characters", f"at most {longest:,}")
