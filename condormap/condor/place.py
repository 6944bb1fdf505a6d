"""Where the child reads a description: in the caller's folder, with the caller's environment."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping


@contextlib.contextmanager
def inside(folder: str, environment: Mapping[str, str] | None = None) -> Iterator[None]:
    """Be there for a while, so that relative paths, ``$ENV()`` and ``getenv`` are what the caller means."""
    ours = dict(os.environ)
    os.chdir(folder)
    try:
        if environment is not None:
            _set(environment)
        yield
    finally:
        _set(ours)
        os.chdir("/")  # or the caller's folder could not be unmounted


def _set(environment: Mapping[str, str]) -> None:
    for name in os.environ.keys() - environment.keys():
        del os.environ[name]
    os.environ.update(environment)
