"""Whether the process that owned a run is still there."""

import asyncio
import os
import socket
import sys

import pytest

from agents.store.owner import Owner

HOST = socket.gethostname()[:80]


async def a_pid_of_nobody() -> int:
    """The id of a process that has ended."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    await process.wait()
    return process.pid


def test_a_name_says_the_machine_and_the_process() -> None:
    """And a nonce: no two owners are the same, not even in one process."""
    one, two = Owner(), Owner()
    assert one.name.startswith(f"{HOST}:{os.getpid()}:")
    assert one.name != two.name
    assert len(one.name) <= 128  # the column's width


async def test_a_process_that_ended_here_is_gone() -> None:
    """This machine knows."""
    assert Owner().is_gone(f"{HOST}:{await a_pid_of_nobody()}:aa")


def test_a_process_that_lives_here_is_not_gone() -> None:
    """Of another user, too."""
    assert not Owner().is_gone(f"{HOST}:{os.getppid()}:aa")
    assert not Owner().is_gone(f"{HOST}:1:aa")


def test_nobody_is_gone_to_itself() -> None:
    """Its own leases are its own."""
    owner = Owner()
    assert not owner.is_gone(owner.name)


def test_an_earlier_process_with_the_same_id_is_gone() -> None:
    """In a container each start has the same id."""
    assert Owner().is_gone(f"{HOST}:{os.getpid()}:before")


async def test_of_another_machine_nothing_is_known() -> None:
    """Its processes have ids of their own; also where its name has a colon."""
    pid = await a_pid_of_nobody()
    assert not Owner().is_gone(f"not-{HOST}:{pid}:aa")
    assert not Owner().is_gone(f"fe80::{HOST}:{pid}:aa")
    assert Owner("fe80::1:5:aa").is_gone(f"fe80::1:{pid}:bb")


@pytest.mark.parametrize(
    "name", ["", ":", "::", "somebody", f"{HOST}", f"{HOST}:x:aa", f"{HOST}::aa", f"{HOST}:-1:aa"]
)
def test_in_doubt_nobody_is_gone(name: str) -> None:
    """A name of another form says nothing."""
    assert not Owner().is_gone(name)


@pytest.mark.parametrize("pid", ["0", "99999999999999999999", "²"])
def test_a_number_that_is_no_process_is_in_doubt(pid: str) -> None:
    """Whatever stands in the database, nothing breaks."""
    assert not Owner().is_gone(f"{HOST}:{pid}:aa")
