"""Where a pool is: plain data that the pool's starter makes and the seam to HTCondor uses."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class PoolAddress:
    """One pool, as a process needs it to talk to the daemons.

    Parameters
    ----------
    config_file : Path or None
        The value of ``CONDOR_CONFIG``; None for HTCondor's own search (``/etc/condor``...).
    collector : str or None
        The collector's address where it is not the configuration's (``"cm.lab.example:9618"``).
    schedd : str or None
        The schedd's name; None for the configuration's own.
    why : str
        How this pool was chosen, as one clause for messages: ``"CONDOR_CONFIG is set"``. Two addresses that
        differ in nothing else are the same pool.
    """

    config_file: Path | None = None
    collector: str | None = None
    schedd: str | None = None
    why: str = field(default="", compare=False)
