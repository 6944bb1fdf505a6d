"""The ids of jobs as users give them."""

from __future__ import annotations

import re

from ..errors import InvalidInputError


def parse_id(id: str | int | tuple[int, int]) -> tuple[int, int | None]:
    """Return the cluster and the proc that an id names; no proc for a cluster's id."""
    if isinstance(id, str) and (match := re.fullmatch(r"\s*(\d+)(?:\.(\d+))?\s*", id)):
        return int(match[1]), None if match[2] is None else int(match[2])
    if isinstance(id, int) and not isinstance(id, bool) and id >= 0:
        return id, None
    if isinstance(id, tuple) and len(id) == 2 and all(isinstance(each, int) and each >= 0 for each in id):
        return id
    raise InvalidInputError(f'a job\'s id is "78.0", (78, 0), or 78, and not {id!r}')
