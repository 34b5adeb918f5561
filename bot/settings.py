"""Settings: the only reader of the environment and of `.env`, read once.

A value that can't be used stops the start, with its name and what is allowed.
"""

from typing import Annotated

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from agents.configs import find_config
from agents.domain.errors import InvalidValue
from agents.store.database import async_url

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class SettingsRefused(Exception):  # noqa: N818 - names the event
    """A setting has a value that can't be used; one line for each."""


class Settings(BaseSettings):
    """Every setting there is. `.env.example` lists them; a test holds the two together."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_file_encoding="utf-8",
        extra="ignore",
        env_ignore_empty=True,
        frozen=True,
    )

    telegram_bot_token: SecretStr | None = None
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    database_url: SecretStr = SecretStr("sqlite:///var/webscout.db")
    sources: Annotated[tuple[str, ...], NoDecode] = ()
    scout_config: str = "scout@1"
    source_timeout_s: Annotated[float, Field(gt=0, le=180)] = 30.0
    log_level: str = "INFO"

    @field_validator("sources", mode="before")
    @classmethod
    def _comma_list(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("database_url")
    @classmethod
    def _database(cls, value: SecretStr) -> SecretStr:
        try:
            async_url(value.get_secret_value())
        except InvalidValue as invalid:
            raise ValueError(f"{invalid.problem}; allowed: {invalid.allowed}") from None
        return value

    @field_validator("scout_config")
    @classmethod
    def _config(cls, value: str) -> str:
        try:
            return find_config(value).name
        except InvalidValue as invalid:
            raise ValueError(f"{invalid.problem}; allowed: {invalid.allowed}") from None

    @field_validator("log_level")
    @classmethod
    def _level(cls, value: str) -> str:
        levels = ("DEBUG", "INFO", "WARNING", "ERROR")
        if value.upper() not in levels:
            raise ValueError(f"unknown level {value[:20]!r}; allowed: {', '.join(levels)}")
        return value.upper()

    @property
    def sqlite(self) -> bool:
        """Whether the database is a file here, migrated at every start."""
        return self.database_url.get_secret_value().startswith("sqlite")

    @property
    def local(self) -> bool:
        """Whether the bot runs on the chat page, for want of a token."""
        return self.telegram_bot_token is None


def load_settings() -> Settings:
    """Read the environment and `.env`; raises SettingsRefused."""
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsRefused("\n".join(map(_line, error.errors()))) from None
    except UnicodeDecodeError:
        raise SettingsRefused(".env: not a text file in UTF-8") from None


def _line(error: object) -> str:
    """One line about one setting; the value of a secret never stands in it."""
    assert isinstance(error, dict)  # noqa: S101 - pydantic's ErrorDetails
    name = str(error["loc"][0]).upper()
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{name}: {message[0].lower()}{message[1:]}"
