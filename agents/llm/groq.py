"""Groq."""

from types import ModuleType
from typing import Any


class Groq:
    """Implements Sdk. `base_url` comes without `/openai/v1`, which the SDK appends."""

    name = "groq"

    def __init__(self, key: str, base_url: str | None) -> None:
        self._key = key
        self._base_url = base_url

    def load(self) -> ModuleType:
        """Import the SDK."""
        import groq  # noqa: PLC0415 - a fifth of a second, so not at the start

        return groq

    def client(self, sdk: ModuleType, http: object) -> Any:
        """A client without retries of its own: the guard retries."""
        return sdk.AsyncGroq(
            api_key=self._key, base_url=self._base_url, max_retries=0, http_client=http
        )
