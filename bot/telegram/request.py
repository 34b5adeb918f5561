"""Bot API calls over aiohttp: PTB's request port, at about half the cost of its own."""

import json
from typing import Any

import aiohttp
from telegram.error import NetworkError, TelegramError, TimedOut
from telegram.request import BaseRequest, RequestData

ANSWER_WITHIN_S = 20.0
UPLOAD_WITHIN_S = 60.0
_CONNECT_WITHIN_S = 10.0
_AT_ONCE_MAX = 64


class FloodWait(TelegramError):  # noqa: N818 - names the event
    """Telegram asks to wait. (PTB's RetryAfter warns each time it is made, of a later version.)"""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"flood limit, wait {seconds:g} s")
        self.seconds = seconds


class AiohttpRequest(BaseRequest):
    """One session for all calls of a bot; the token, which stands in every address, is in no
    error."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    @property
    def read_timeout(self) -> float | None:
        """Seconds a call may take unless it says otherwise."""
        return ANSWER_WITHIN_S

    async def initialize(self) -> None:
        """Open the session."""
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=_AT_ONCE_MAX, keepalive_timeout=60)
            self._session = aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar()
            )

    async def shutdown(self) -> None:
        """Close the session."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def do_request(  # noqa: PLR0917 - the signature is PTB's
        self,
        url: str,
        method: str,
        request_data: RequestData | None = None,
        read_timeout: object = None,
        write_timeout: object = None,
        connect_timeout: object = None,
        pool_timeout: object = None,
    ) -> tuple[int, bytes]:
        """Make the call; raises TimedOut, NetworkError and FloodWait."""
        if self._session is None:
            raise NetworkError("the session is closed")
        files = request_data is not None and request_data.contains_files
        default = UPLOAD_WITHIN_S if files else ANSWER_WITHIN_S
        total = float(read_timeout) if isinstance(read_timeout, (int, float)) else default
        timeout = aiohttp.ClientTimeout(total=total, sock_connect=_CONNECT_WITHIN_S)
        try:
            async with self._session.request(
                method, url, timeout=timeout, **_payload(request_data)
            ) as response:
                status, body = response.status, await response.read()
        except TimeoutError:
            raise TimedOut from None
        except aiohttp.ClientError as error:
            raise NetworkError(f"no answer from Telegram ({type(error).__name__})") from None
        if status == 429:
            raise FloodWait(_wait_s(body))
        if status >= 300 and _answer(body) is None:
            # Not Telegram but something in between, whose page may quote the address.
            raise NetworkError(f"no answer from Telegram (HTTP {status})")
        return status, body

    @staticmethod
    def parse_json_payload(payload: bytes) -> dict[str, Any]:
        """The answer; raises NetworkError. (PTB's own logs what it can't read, whole.)"""
        answer = _answer(payload)
        if answer is None:
            raise NetworkError("no answer from Telegram (not what its Bot API says)")
        return answer


def _answer(body: bytes) -> dict[str, Any] | None:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return None
    known = isinstance(answer, dict) and ("result" in answer or "description" in answer)
    return answer if known else None


def _payload(data: RequestData | None) -> dict[str, Any]:
    if data is None or not data.parameters:
        return {}
    if not data.contains_files:
        return {"data": data.json_payload, "headers": {"Content-Type": "application/json"}}
    form = aiohttp.FormData(data.json_parameters)
    for name, (filename, content, mime) in data.multipart_data.items():
        form.add_field(name, content, filename=filename, content_type=mime)
    return {"data": form}


def _wait_s(body: bytes) -> float:
    try:
        return max(1.0, float(json.loads(body)["parameters"]["retry_after"]))
    except (ValueError, KeyError, TypeError):
        return 5.0  # it didn't say
