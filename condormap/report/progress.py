"""The progress bar: a library's, on a terminal and in a notebook, and silence elsewhere."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from ..errors import InvalidInputError


def in_notebook() -> bool:
    """Tell whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and shell.__class__.__name__ == "ZMQInteractiveShell"


def check_wanted(progress: bool | None) -> bool | None:
    """Return what a user gave as ``progress=``, or raise `InvalidInputError`."""
    if progress is None or isinstance(progress, bool):
        return progress
    raise InvalidInputError(
        f"progress must be True, False, or None for a bar on a terminal and in a notebook, not {progress!r}"
    )


class Progress:
    """A bar that appears with the first `show`, unless there is nobody to see it.

    Parameters
    ----------
    total : int
        The number of items.
    description : str
        What stands before the bar.
    wanted : bool or None
        None shows it on a terminal and in a notebook only.
    """

    def __init__(self, total: int, description: str, wanted: bool | None) -> None:
        wanted = check_wanted(wanted)
        self.shown = (sys.stderr.isatty() or in_notebook()) if wanted is None else wanted
        self._total = total
        self._description = description
        self._bar: Any = None

    def show(self, done: int, note: str) -> None:
        """Show that `done` items have an outcome, and what the pool is doing."""
        if not self.shown:
            return
        if self._bar is None:
            library = importlib.import_module("tqdm.auto" if in_notebook() else "tqdm")
            self._bar = library.tqdm(
                total=self._total, desc=self._description, unit="item", dynamic_ncols=True
            )
        self._bar.set_postfix_str(note, refresh=False)
        self._bar.update(done - self._bar.n)
        self._bar.refresh()

    def close(self, done: int) -> None:
        """Leave the bar, if there is one, with `done` items."""
        if self._bar is not None:
            self._bar.set_postfix_str("", refresh=False)
            self._bar.update(done - self._bar.n)
            self._bar.close()
            self._bar = None
