"""The submissions of a map that wait for room on the disk (`condormap.waves`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ..submission import Submission, load_submission


class Unsubmitted:
    """Those submissions of one map that wait for room, and are held perhaps; not those that were removed.

    Parameters
    ----------
    submissions : sequence of Submission
        All of the map; it may grow.
    replace : callable
        Takes note of what has become of one.
    """

    def __init__(self, submissions: Sequence[Submission], replace: Callable[[Submission], None]) -> None:
        self._submissions = submissions
        self._replace = replace
        self._looked_at: dict[str, int] = {}  # submission id -> when its folder was changed last, in ns

    def __iter__(self) -> Iterator[Submission]:
        """Return them as they are now, in order."""
        return iter([s for s in self._submissions if s.waits is not None and s.waits.removed is None])

    def __bool__(self) -> bool:
        return next(iter(self), None) is not None

    @property
    def n_jobs(self) -> int:
        """How many jobs wait."""
        return sum(len(submission.chunks) for submission in self)

    def look(self) -> None:
        """Take note of what has become of them, which another process may have changed.

        Raises
        ------
        StorageError
            A folder is damaged.
        """
        for submission in self:
            changed = submission.folder.stat().st_mtime_ns  # a file in it that is replaced changes it
            if self._looked_at.get(submission.id) != changed:
                self.look_again(submission)
                self._looked_at[submission.id] = changed

    def look_again(self, submission: Submission) -> Submission:
        """Return a submission as its folder has it now."""
        found = load_submission(submission.folder)
        if found != submission:
            self._replace(found)
        return found
