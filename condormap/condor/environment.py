"""The environment of the child: which pool its HTCondor configuration means."""

from __future__ import annotations

import os
from pathlib import Path

from condormap import errors
from condormap.address import PoolAddress

# Where HTCondor looks for a configuration when CONDOR_CONFIG is not set.
_SYSTEM_CONFIGS = ("/etc/condor/condor_config", "/usr/local/etc/condor_config", "~condor/condor_config")


def child_environment(address: PoolAddress) -> dict[str, str]:
    """Return this process's environment, changed so that HTCondor's configuration is that of `address`.

    Raises
    ------
    UnreachableError
        The address's configuration file does not exist.
    """
    environment = dict(os.environ)
    if address.config_file is not None:
        if not address.config_file.is_file():
            raise errors.UnreachableError(
                f"the pool's configuration {address.config_file} does not exist ({address.why or 'given'}): the"
                " pool was removed, or the path is wrong. What to do: start the pool again, or correct the path"
            )
        environment["CONDOR_CONFIG"] = str(address.config_file.absolute())
    elif "CONDOR_CONFIG" not in environment and not any(
        Path(each).expanduser().is_file() for each in _existing_users(_SYSTEM_CONFIGS)
    ):
        environment["CONDOR_CONFIG"] = "/dev/null"
        # A 25.x client refuses a 23.9 schedd without it, and there is no configuration that could say so.
        environment.setdefault("_CONDOR_SEC_FS_ENFORCE_CHANNEL_BINDING", "False")
    if address.collector is not None:
        environment["_CONDOR_COLLECTOR_HOST"] = address.collector
    return environment


def _existing_users(paths: tuple[str, ...]) -> list[str]:
    """Return the paths whose ``~user`` there is."""
    return [path for path in paths if not os.path.expanduser(path).startswith("~")]
