"""Who this process is, to others that share the database, and which of them are gone."""

import os
import secrets
import socket
from dataclasses import dataclass, field


def _new_name() -> str:
    return f"{socket.gethostname()[:80]}:{os.getpid()}:{secrets.token_hex(4)}"


@dataclass(frozen=True, slots=True)
class Owner:
    """A process as the owner of runs. Its name says the machine, the process id and a nonce."""

    name: str = field(default_factory=_new_name)

    def is_gone(self, other: str) -> bool:
        """Whether the process of that name ran on this machine and has ended: its leases need not
        be waited for. In doubt it is not gone."""
        host, _, rest = other.rpartition(":")[0].rpartition(":")
        mine = self.name.rpartition(":")[0].rpartition(":")[0]
        if other == self.name or host != mine or not rest.isdecimal():
            return False
        try:
            os.kill(int(rest), 0)
        except ProcessLookupError:
            return True
        except (OSError, OverflowError):
            return False
        return int(rest) == os.getpid()  # this process's own id: an earlier one had it
