"""Settings: the only reader of the environment and of `.env`, read once.

A value that can't be used stops the start, with its name and what is allowed.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from agents.configs import find_config
from agents.domain.errors import InvalidValue
from agents.store.database import async_url

_HTTP = r"^https?://[^\s/?#]+"
_MODEL = r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,99}$"
_IN_WORDS = {
    _HTTP: "an address that begins with http:// or https://",
    _MODEL: "a model's name, of letters, digits and . _ : / -, at most 100",
}
VENDORS = ("openai", "groq")
"""The makers of language models that there are."""
_TOKEN = re.compile(r"\d{1,20}:[A-Za-z0-9_-]{1,100}")
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True)
class TeamKey:
    """A team of the run API, and a key of its own. A team may have several."""

    team: str
    key: SecretStr


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
    telegram_api_base_url: Annotated[str, Field(pattern=_HTTP)] = "https://api.telegram.org"
    webhook_url: str | None = None
    webhook_secret: SecretStr | None = None
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    ops_token: SecretStr | None = None
    ops_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    heartbeat_url: Annotated[str, Field(pattern=_HTTP)] | None = None
    agent_silent_min: Annotated[float, Field(gt=0, le=10_080)] = 30.0
    drain_s: Annotated[float, Field(ge=0, le=3600)] = 20.0
    admin_chat_id: Annotated[tuple[int, ...], NoDecode] = ()
    api_keys: Annotated[tuple[TeamKey, ...], NoDecode] = ()
    database_url: SecretStr = SecretStr("sqlite:///var/webscout.db")
    database_replica_url: SecretStr | None = None
    sources: Annotated[tuple[str, ...], NoDecode] = ()
    feeds_file: Path | None = None
    feed_boards: Annotated[tuple[str, ...], NoDecode] = ()
    apify_api_token: SecretStr | None = None
    apify_api_base_url: Annotated[str, Field(pattern=_HTTP)] | None = None
    apify_actors_file: Path | None = None
    apify_run_usd: Annotated[float, Field(ge=0.01, le=100)] = 1.0
    apify_starts_per_min: Annotated[int, Field(ge=1, le=600)] = 10
    openai_api_key: SecretStr | None = None
    openai_base_url: Annotated[str, Field(pattern=_HTTP)] | None = None
    openai_model: Annotated[str, Field(pattern=_MODEL)] = "gpt-4.1-mini"
    openai_fast_model: Annotated[str, Field(pattern=_MODEL)] = "gpt-4.1-nano"
    groq_api_key: SecretStr | None = None
    groq_base_url: Annotated[str, Field(pattern=_HTTP)] | None = None
    groq_model: Annotated[str, Field(pattern=_MODEL)] = "openai/gpt-oss-120b"
    groq_fast_model: Annotated[str, Field(pattern=_MODEL)] = "openai/gpt-oss-20b"
    llm_order: Annotated[tuple[str, ...], NoDecode] = ("openai", "groq")
    llm_timeout_s: Annotated[float, Field(gt=0, le=60)] = 20.0
    llm_retries: Annotated[int, Field(ge=0, le=10)] = 3
    llm_calls_per_min: Annotated[int, Field(ge=1, le=10_000)] = 60
    supabase_url: Annotated[str, Field(pattern=_HTTP)] | None = None
    supabase_service_role_key: SecretStr | None = None
    tool_retries: Annotated[int, Field(ge=0, le=10)] = 2
    retry_base_s: Annotated[float, Field(gt=0, le=60)] = 0.5
    breaker_failures: Annotated[int, Field(ge=1, le=1000)] = 5
    breaker_failure_rate: Annotated[float, Field(gt=0, le=1)] = 0.5
    breaker_calls_min: Annotated[int, Field(ge=1, le=10_000)] = 10
    breaker_window_s: Annotated[float, Field(gt=0, le=3600)] = 60.0
    breaker_open_s: Annotated[float, Field(gt=0, le=300)] = 15.0
    scouts_burst: Annotated[int, Field(ge=1, le=1000)] = 5
    scout_refill_s: Annotated[float, Field(gt=0, le=86_400)] = 60.0
    commands_burst: Annotated[int, Field(ge=1, le=10_000)] = 20
    command_refill_s: Annotated[float, Field(gt=0, le=86_400)] = 2.0
    runs_at_once: Annotated[int, Field(ge=1, le=10_000)] = 50
    runs_queued: Annotated[int, Field(ge=1, le=1_000_000)] = 1_000
    team_runs: Annotated[int, Field(ge=1, le=1_000_000)] = 10
    team_tokens_per_min: Annotated[int, Field(ge=1)] = 200_000
    team_tokens_per_day: Annotated[int, Field(ge=1)] = 5_000_000
    run_steps: Annotated[int, Field(ge=1, le=1_000)] | None = None
    run_tokens: Annotated[int, Field(ge=1, le=100_000_000)] | None = None
    run_handoffs: Annotated[int, Field(ge=0, le=1_000)] | None = None
    run_timeout_s: Annotated[float, Field(gt=0, le=86_400)] | None = None
    discover_deadline_s: Annotated[float, Field(gt=0, le=86_400)] | None = None
    match_deadline_s: Annotated[float, Field(gt=0, le=86_400)] | None = None
    act_deadline_s: Annotated[float, Field(gt=0, le=86_400)] | None = None
    undo_deadline_s: Annotated[float, Field(gt=0, le=86_400)] | None = None
    scout_config: str = "scout@1"
    source_timeout_s: Annotated[float, Field(gt=0, le=180)] = 30.0
    log_level: str = "INFO"

    @model_validator(mode="before")
    @classmethod
    def _default_sources(cls, values: dict[str, object]) -> dict[str, object]:
        if values.get("sources") is None:
            apify = ("apify",) if values.get("apify_api_token") else ()
            values["sources"] = (*apify, "feeds")
        return values

    @field_validator("sources", "feed_boards", "llm_order", "ops_hosts", mode="before")
    @classmethod
    def _comma_list(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("admin_chat_id", mode="before")
    @classmethod
    def _chats(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        parts = [part.strip() for part in value.split(",") if part.strip()]
        if not all(re.fullmatch(r"-?\d{1,19}", part) for part in parts):
            raise ValueError("not a chat's number; allowed: NUMBER or NUMBER,NUMBER")
        return tuple(int(part) for part in parts)

    @field_validator("api_keys", mode="before")
    @classmethod
    def _team_keys(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = [part.strip().partition(":") for part in value.split(",") if part.strip()]
        for number, (team, colon, key) in enumerate(pairs, start=1):  # by number: it may be a key
            if not colon or not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", team):
                allowed = "TEAM:KEY,TEAM:KEY; a team is 1 to 64 of A-Z a-z 0-9 _ . -"
                raise ValueError(f"entry {number}: not TEAM:KEY; allowed: {allowed}")
            if not re.fullmatch(r"[!-~]{1,256}", key):
                raise ValueError(f"entry {number}: its key has blanks, is empty or over 256 long")
        if len({key for _, _, key in pairs}) < len(pairs):
            raise ValueError("a key is there twice; allowed: each key belongs to one team")
        return tuple(TeamKey(team, SecretStr(key)) for team, _, key in pairs)

    @field_validator("telegram_bot_token")
    @classmethod
    def _token(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not _TOKEN.fullmatch(value.get_secret_value()):
            raise ValueError("not a bot token; allowed: NUMBER:LETTERS, as BotFather gives it")
        return value

    @field_validator("webhook_url")
    @classmethod
    def _webhook(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        local = parts.scheme == "http" and parts.hostname in LOOPBACK
        if not parts.hostname or not (parts.scheme == "https" or local) or parts.query:
            raise ValueError("not an https address (http on loopback); /telegram is added to it")
        if not local and parts.port not in {None, 443, 80, 88, 8443}:
            raise ValueError(f"port {parts.port}; Telegram allows 443, 80, 88 and 8443")
        return value.rstrip("/")

    @field_validator("webhook_secret")
    @classmethod
    def _secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not re.fullmatch(
            r"[A-Za-z0-9_-]{1,256}", value.get_secret_value()
        ):
            raise ValueError("allowed are 1 to 256 of A-Z a-z 0-9 _ -")
        return value

    @field_validator("ops_token")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not re.fullmatch(r"[!-~]{16,256}", value.get_secret_value()):
            raise ValueError("allowed are 16 to 256 characters without blanks")
        return value

    @field_validator("ops_hosts")
    @classmethod
    def _names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(re.fullmatch(r"[a-z0-9.-]{1,253}(:\d{1,5})?", name.lower()) for name in value):
            raise ValueError("allowed: NAME or NAME:PORT, comma separated, without https://")
        return tuple(name.lower() for name in value)

    @field_validator("llm_order")
    @classmethod
    def _known_vendors(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or len(set(value)) < len(value) or not set(value) <= set(VENDORS):
            raise ValueError(f"allowed: {', '.join(VENDORS)}, each once, in any order")
        return value

    @field_validator(
        "telegram_api_base_url",
        "apify_api_base_url",
        "supabase_url",
        "openai_base_url",
        "groq_base_url",
    )
    @classmethod
    def _base(cls, value: str | None) -> str | None:
        return None if value is None else value.rstrip("/")

    @field_validator("database_url", "database_replica_url")
    @classmethod
    def _database(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
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

    @model_validator(mode="after")
    def _supabase_whole(self) -> "Settings":
        if (self.supabase_url is None) != (self.supabase_service_role_key is None):
            raise ValueError("SUPABASE_URL and SUPABASE_SERVICE_ROLE_KEY: set both, or none")
        return self

    @model_validator(mode="after")
    def _replica_is_postgresql(self) -> "Settings":
        replica = self.database_replica_url
        if replica is not None and (self.sqlite or replica.get_secret_value().startswith("sqlite")):
            raise ValueError("DATABASE_REPLICA_URL: a replica of a PostgreSQL in DATABASE_URL")
        return self

    @property
    def cache_file(self) -> Path | None:
        """Where values are cached without Supabase: beside a SQLite database; None in memory."""
        if not self.sqlite:
            return Path("var/webscout-cache.db")
        database = async_url(self.database_url.get_secret_value()).database
        if not database or database == ":memory:":
            return None
        file = Path(database)
        return file.with_name(f"{file.stem}-cache{file.suffix or '.db'}")

    @property
    def sqlite(self) -> bool:
        """Whether the database is a file here, migrated at every start."""
        return self.database_url.get_secret_value().startswith("sqlite")

    @property
    def reached_by_proxy(self) -> bool:
        """Whether a proxy leads the world to this server: its own requests come from loopback."""
        return self.webhook_url is not None and self.webhook_url.startswith("https:")

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
    message = str(error["msg"]).removeprefix("Value error, ")
    if not error["loc"]:
        return message  # of several settings, which it names
    name = str(error["loc"][0])
    if (allowed := _allowed(name)) is not None:
        message = f"not allowed; allowed: {allowed}"
        if "number" in allowed:  # no secret is one
            message = f"{str(error['input'])[:40]!r} is {message}"
    return f"{name.upper()}: {message[0].lower()}{message[1:]}"


def _allowed(name: str) -> str | None:
    """What a setting may be, where its type alone says so."""
    of_name = Settings.model_json_schema()["properties"].get(name, {})
    schema = of_name.get("anyOf", [of_name])[0]  # what may be unset has its own type first
    match schema:
        case {"pattern": pattern}:
            return _IN_WORDS[pattern]
        case {"type": ("integer" | "number") as kind, **bounds}:
            whole = "a whole number" if kind == "integer" else "a number"
            least = f"from {bounds['minimum']:,}" if "minimum" in bounds else ""
            above = f"above {bounds['exclusiveMinimum']:,}," if "exclusiveMinimum" in bounds else ""
            to = "at most" if above else "to"
            most = f"{to} {bounds['maximum']:,}" if "maximum" in bounds else ""
            return " ".join(filter(None, (whole, least, above, most)))
        case _:
            return None
