"""Reading JSON over HTTP from servers that are not ours: everything is bounded, nothing trusted."""

import asyncio
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp.http_exceptions import ContentEncodingError

from agents.discovery.port import SourceFailed, Validators
from agents.discovery.sources import large_json
from resilience.fault import BROKEN, IN_VAIN, TRANSIENT, Fault, FaultKind

BYTES_MAX = 20_000_000  # unpacked
REDIRECTS_MAX = 5
TIMEOUT_S = 30.0
RETRY_AFTER_MAX_S = 24 * 3600.0
_CONNECT_TIMEOUT_S = 8.0
_CHUNK = 64 * 1024
_VERSION_CHARS_MAX = 1_000
_USER_AGENT = "webscout/0.3 (opportunity scout; reads public feeds on their period)"


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonRequest:
    """What to ask for; a `body` is sent as JSON."""

    url: str
    method: str = "GET"
    body: object = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonAnswer:
    """The value, and the version that the server gave it."""

    value: object
    validators: Validators = field(default_factory=Validators)


class HttpReader:
    """One aiohttp session for all feeds. An async context manager."""

    def __init__(self, timeout_s: float = TIMEOUT_S, bytes_max: int = BYTES_MAX) -> None:
        self.timeout_s = timeout_s
        self._bytes_max = bytes_max
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=self.timeout_s, sock_connect=_CONNECT_TIMEOUT_S)
        headers = {"User-Agent": _USER_AGENT, "Accept": "application/json"}
        self._session = aiohttp.ClientSession(timeout=timeout, headers=headers)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        assert self._session is not None  # noqa: S101 - entered before
        await self._session.close()

    async def read(
        self, label: str, request: JsonRequest, known: Validators | None = None
    ) -> JsonAnswer | None:
        """The JSON value there; None when it is still the `known` version.

        Raises SourceFailed, whose message begins with `label`.
        """
        try:
            return await self._read(label, request, known or Validators())
        except TimeoutError:
            # Not asked once more: that would take as long again.
            raise SourceFailed(f"{label}: no answer within {self.timeout_s:g} s") from None
        except aiohttp.TooManyRedirects:
            raise SourceFailed(f"{label}: it redirects in a circle") from None
        except (aiohttp.ClientPayloadError, ContentEncodingError):
            words = f"{label}: its answer is broken off or wrongly packed"
            raise SourceFailed(words, fault=TRANSIENT) from None
        except aiohttp.ClientConnectorError as error:
            reason = error.strerror or type(error.os_error).__name__
            raise SourceFailed(f"{label}: can't connect ({reason})", fault=TRANSIENT) from None
        except (aiohttp.ClientError, ValueError) as error:
            words = f"{label}: no usable answer ({type(error).__name__})"
            fault = TRANSIENT if isinstance(error, aiohttp.ClientConnectionError) else BROKEN
            raise SourceFailed(words, fault=fault) from None

    async def _read(self, label: str, request: JsonRequest, known: Validators) -> JsonAnswer | None:
        assert self._session is not None  # noqa: S101 - entered before
        async with self._session.request(
            request.method,
            request.url,
            json=request.body,
            headers=_conditions(known),
            max_redirects=REDIRECTS_MAX,
        ) as response:
            if response.status == 304 and known != Validators():
                return None
            if response.status != 200:
                wait_s = _retry_after_s(response)
                words = f"{label}: it answered {_status(response)}"
                raise SourceFailed(words, wait_s or 0.0, fault=_fault(response.status, wait_s))
            body = await self._body(label, response)
            validators = Validators(
                etag=_version(response, "ETag"),
                last_modified=_version(response, "Last-Modified"),
            )
        return JsonAnswer(value=await _parse(label, body), validators=validators)

    async def _body(self, label: str, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in response.content.iter_chunked(_CHUNK):
            body += chunk
            if len(body) > self._bytes_max:
                megabytes = self._bytes_max / 1_000_000
                raise SourceFailed(f"{label}: more than {megabytes:g} MB, which is not read")
        return bytes(body)


def _conditions(known: Validators) -> dict[str, str]:
    headers = {}
    if known.etag:
        headers["If-None-Match"] = known.etag
    if known.last_modified:
        headers["If-Modified-Since"] = known.last_modified
    return headers


def _version(response: aiohttp.ClientResponse, header: str) -> str | None:
    """The header, unless it holds what no store can keep and nobody should send back."""
    text = response.headers.get(header, "")
    return text if text.isascii() and 0 < len(text) <= _VERSION_CHARS_MAX else None


def _status(response: aiohttp.ClientResponse) -> str:
    wait_s = _retry_after_s(response)
    if response.status == 429 and wait_s is not None:
        return f"429: too many requests, wait {wait_s:.0f} s"
    reason = response.reason or ""
    return f"{response.status} {reason[:60] if reason.isascii() else ''}".strip()


def _fault(status: int, wait_s: float | None) -> Fault:
    """What a refusal says of the server: every request here asks, and changes nothing."""
    if status == 429 or wait_s is not None:
        return Fault(kind=FaultKind.THROTTLED, retry_after_s=wait_s)
    return TRANSIENT if status >= 500 or status == 408 else IN_VAIN


def _retry_after_s(response: aiohttp.ClientResponse) -> float | None:
    """How long a refusal asks to wait, in seconds, a day at most; a date is not read."""
    wait = response.headers.get("Retry-After", "")
    asked = response.status in {429, 503} and wait.isascii() and wait.isdigit() and len(wait) < 10
    return min(float(wait), RETRY_AFTER_MAX_S) if asked else None


async def _parse(label: str, body: bytes) -> object:
    if body[:200].lstrip().startswith(b"<"):
        raise SourceFailed(f"{label}: it answered a web page, not JSON")
    try:
        return await asyncio.to_thread(large_json.loads, body)
    except (ValueError, RecursionError):
        raise SourceFailed(f"{label}: its answer is not JSON") from None
