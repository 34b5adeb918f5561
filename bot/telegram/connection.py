"""Whether Telegram is connected, as far as was seen."""


class Connection:
    """Told by polling, and by the setting of a webhook. Local mode's is always there."""

    def __init__(self, *, connected: bool = False) -> None:
        self._problem: str | None = None if connected else "not connected yet"

    @property
    def problem(self) -> str | None:
        """Why not; None while it is."""
        return self._problem

    def up(self) -> None:
        """It answered."""
        self._problem = None

    def down(self, reason: str) -> None:
        """It did not."""
        self._problem = reason
