"""OpenAI, or whatever speaks its API at another base URL."""

from types import ModuleType
from typing import Any


class OpenAi:
    """Implements Sdk. `base_url` includes the version, as in https://api.openai.com/v1."""

    name = "openai"

    def __init__(self, key: str, base_url: str | None) -> None:
        self._key = key
        self._base_url = base_url

    def load(self) -> ModuleType:
        """Import the SDK."""
        import openai  # noqa: PLC0415 - half a second, so not at the start

        return openai

    def client(self, sdk: ModuleType, http: object) -> Any:
        """A client without retries of its own: the guard retries."""
        return sdk.AsyncOpenAI(
            api_key=self._key, base_url=self._base_url, max_retries=0, http_client=http
        )
