"""Who a personal pool belongs to, as its daemons see it."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

from condormap.errors import PoolStartError

_OVERFLOW_ID = Path("/proc/sys/kernel/overflowuid")


@dataclass(frozen=True)
class Identity:
    """The pool's one user.

    Parameters
    ----------
    name : str
        The user's name inside the pool; the owner of its jobs.
    namespace : tuple of int or None
        The user and group id to take inside a user namespace; None where none is needed.
    """

    name: str
    namespace: tuple[int, int] | None = None


def pool_identity() -> Identity:
    """Return who a pool of this process's user runs as.

    A schedd takes no jobs from root, and none from a user without a name (a container that runs under any id).
    Both get a user namespace, where their processes and jobs have another id; outside of it they stay who they
    are, so that everything they may read stays readable.
    """
    me = os.geteuid()
    if me != 0:
        try:
            return Identity(pwd.getpwuid(me).pw_name)
        except KeyError:
            pass
    # Not the overflow user ("nobody"): inside, every other user of the machine has that id and would pass for us.
    overflow = int(_OVERFLOW_ID.read_text()) if _OVERFLOW_ID.exists() else 65534
    usable = sorted(
        (entry.pw_uid, entry) for entry in pwd.getpwall() if entry.pw_uid not in (0, me, overflow)
    )
    if not usable:
        raise PoolStartError(
            "A personal pool that root starts runs as another user inside a user namespace, and this machine's "
            "user database (/etc/passwd) has no other user.\nAdd one, or start the pool as a normal user."
        )
    entry = usable[0][1]
    return Identity(entry.pw_name, (entry.pw_uid, entry.pw_gid))
