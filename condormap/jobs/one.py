"""What one job answers; several, in `several`, answer it for every job at once."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from ..errors import CondormapError
from ..status import JobStatus
from ..times import deadline
from .ad import JobAd
from .explain import explain
from .following import Following
from .log import JobEvent, job_events
from .output import log_readers, logs, outputs
from .part import JobKey, Part
from .queue import refresh
from .reading import read_ads
from .record import JobRecord
from .state import ClusterState
from .steering import Steered

T = TypeVar("T")


class One(Steered):
    """One job that can be asked and acted on."""

    _proc: int

    @property
    @abstractmethod
    def _cluster(self) -> ClusterState:
        """The job's cluster; UnsubmittedJobError where it has none."""

    # -- what it is ------------------------------------------------------------------------------------------

    @property
    def status(self) -> JobStatus:
        """The state, now: the schedd is asked, unless the job has ended. One that got lost is ``REMOVED``."""
        return self._now().status

    @property
    def ad(self) -> JobAd:
        """All attributes, at most a second old; after the job has left the queue, those of the history.

        Raises
        ------
        NoSuchJobError
            Neither has it, and nobody has seen its ad before.
        """
        return self._only(read_ads(self._parts()))

    def refresh(self) -> JobAd:
        """Ask for the ad now, however new the last one is."""
        return self._only(read_ads(self._parts(), now=True))

    def __getitem__(self, attribute: str) -> Any:
        return self.ad[attribute]

    def __contains__(self, attribute: object) -> bool:
        return attribute in self.ad

    def __iter__(self) -> Iterator[str]:
        return iter(self.ad)

    def keys(self) -> list[str]:
        """Return the names of all attributes."""
        return list(self.ad)

    def get(self, attribute: str, default: Any = None) -> Any:
        """Return an attribute, or `default` where the ad does not have it."""
        return self.ad.get(attribute, default)

    @property
    def exit_code(self) -> int | None:
        """The exit code; None while it has none, and for a job that a signal or a removal ended."""
        return self._now().exit_code

    @property
    def exit_signal(self) -> int | None:
        """The signal that ended it; None where none did."""
        return self._now().signal

    @property
    def hold_reason(self) -> str | None:
        """Why it is on hold: what the codes mean, the codes, HTCondor's reason; None for one that is not."""
        return self._now().hold_reason

    @property
    def remove_reason(self) -> str | None:
        """Why it was removed, and by whom; None for one that was not."""
        return self._now().remove_reason

    @property
    def host(self) -> str:
        """The slot that it runs on, or ran on last; empty before it ran."""
        return self._now().host

    def explain(self) -> str:
        """Return in sentences why the job is in its state; of an idle one, why it is not running.

        The requirements are tried clause by clause on the pool's slots, by HTCondor's own evaluator; the rest is
        what the schedd and the negotiator have noted in their ads.
        """
        refresh(self._parts())
        return self._only(explain(self._parts()))

    # -- what it wrote ---------------------------------------------------------------------------------------

    def stdout(self) -> str:
        """Return what it has written to its standard output, as far as that is here.

        Files that are transferred come at the end of the job; before, there is nothing.

        Raises
        ------
        StorageError
            The job has ended, and the file is not here or cannot be read.
        """
        return self._only(outputs(self._parts(), "Out"))

    def stderr(self) -> str:
        """Return what it has written to its standard error; see `stdout`."""
        return self._only(outputs(self._parts(), "Err"))

    def log(self) -> str:
        """Return what its event log says of it, word for word.

        Raises
        ------
        StorageError
            It has no log that can be read here.
        """
        return self._only(logs(self._parts()))

    def events(self, *, follow: bool = False, timeout: float | None = None) -> Iterator[JobEvent]:
        """Return its history by its event log.

        Parameters
        ----------
        follow : bool
            Go on with what comes, until the job has ended.
        timeout : float or None
            Seconds to follow at most.

        Raises
        ------
        StorageError
            It has no log that can be read here.
        """
        parts = self._parts()
        more = Following(parts, deadline(timeout))
        return job_events(log_readers(parts), more if follow else lambda: False)

    # -- inside ----------------------------------------------------------------------------------------------

    def _parts(self) -> Sequence[Part]:
        return (Part(self._cluster, (self._proc,)),)

    def _key(self, state: ClusterState, proc: int) -> int:
        return proc

    def _only(self, found: Mapping[JobKey, T | CondormapError]) -> T:
        """Return the answer about this job, or raise why there is none."""
        answer = found[self._cluster, self._proc]
        if isinstance(answer, CondormapError):
            raise answer
        return answer

    def _now(self) -> JobRecord:
        """Return what is known about the job, now."""
        refresh(self._parts())
        return self._cluster.record(self._proc)
