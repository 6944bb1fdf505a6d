"""A backend for the analyses of MDAnalysis (2.8 and newer)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..executor.executor import CondorExecutor

try:
    from MDAnalysis.analysis.backends import BackendBase
except ImportError as error:
    raise ImportError(
        "MDAnalysis 2.8 or newer is not installed: pip install 'condormap[mdanalysis]'"
    ) from error


class CondorBackend(BackendBase):  # type: ignore[misc]
    """The parts of an analysis as jobs: ``run(backend=CondorBackend(), unsupported_backend=True)``.

    The trajectory has to be where the jobs can read it.

    Parameters
    ----------
    n_workers : int or None
        Into how many parts ``run`` divides the frames where it is not given ``n_parts``; None for as many as the
        pool runs at once.
    **options
        As for `CondorExecutor`.
    """

    def __init__(self, n_workers: int | None = None, **options: Any) -> None:
        self._options = options
        if n_workers is None:
            with CondorExecutor(**options) as executor:
                n_workers = executor.slots
        super().__init__(n_workers)

    def apply(self, func: Callable[[Any], Any], computations: list[Any]) -> list[Any]:
        """Return ``[func(each) for each in computations]``, each in a job of its own."""
        with CondorExecutor(chunksize=1, **self._options) as executor:
            return list(executor.map(func, computations))
