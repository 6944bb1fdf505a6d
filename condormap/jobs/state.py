"""One cluster as it was last seen, by its event log and by ads. Nobody is asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..condor import Condor, Event
from ..events import EventType
from .ad import KeptAd
from .log import LogFollower, follow
from .record import JobRecord

_PAUSED = (1, -1)  # JobMaterializePaused: by a hold, by an error; others mean that nothing is left to make


class ClusterState:
    """One cluster of one schedd.

    Parameters
    ----------
    condor : Condor
        Who is asked.
    cluster : int
        The cluster's id.
    n_procs : int
        How many jobs it has, those that a factory has not made yet included; 0 while that is not known.

    Attributes
    ----------
    owner : str
        Whose jobs they are; empty while no ad has told.
    log : LogFollower or None
        The cluster's event log, where it has one that can be read here.
    paused : str
        Why the cluster's factory makes no more jobs; empty where it does, or where there is none.
    factory : bool
        Whether its jobs are made one after the other.
    removed_here : set of int
        The procs that this process removed.
    released_at : float
        When jobs of it were released here last, by `time.monotonic`.
    on_release : callable
        Is called when jobs of the cluster were released or removed here.
    still : bool
        What was read last is not to be asked for again for a while.
    ads : dict
        The ads that were seen last, by proc; see `condormap.jobs.reading`.
    """

    def __init__(self, condor: Condor, cluster: int, n_procs: int = 0) -> None:
        self.condor = condor
        self.cluster = cluster
        self.n_procs = n_procs
        self.owner = ""
        self.log: LogFollower | None = None
        self.paused = ""
        self.removed_here: set[int] = set()
        self.factory = False
        self.released_at = float("-inf")
        self.on_release: Callable[[], object] = lambda: None
        self.still = False
        self.ads: dict[int, KeptAd] = {}
        self._next = 0  # the proc that the factory makes next
        self._log_path: Path | None = None
        self._records: dict[int, JobRecord] = {}

    def record(self, proc: int) -> JobRecord:
        """Return what is known about a job."""
        record = self._records.get(proc)
        if record is None:
            record = self._records[proc] = JobRecord()
        return record

    def set_log(self, path: Path) -> None:
        """Note where the cluster's event log is."""
        if path != self._log_path:
            self._log_path = path
            if path.is_file():
                self.log = follow(self.condor, path)
                self.log.listen(self.cluster, self._take_event)

    @property
    def unmade(self) -> range:
        """The procs that the cluster's factory has not made yet, as far as is known."""
        return range(self._next if self.factory else self.n_procs, self.n_procs)

    def take_ad(self, ad: dict[str, Any]) -> None:
        """Note what an ad says, the cluster's own or a job's, of the queue or of the history."""
        proc = ad.get("ProcId")
        self.owner = str(ad.get("Owner") or self.owner)
        self.n_procs = max(
            self.n_procs, int(ad.get("TotalSubmitProcs") or 0), -1 if proc is None else proc + 1
        )
        if "JobMaterializeLimit" in ad:
            self.factory = True
            self.n_procs = max(self.n_procs, int(ad["JobMaterializeLimit"] or 0))
            # What the history has is of the time when the job ended.
            self._next = max(self._next, int(ad.get("JobMaterializeNextProcId") or 0))
            paused = ad.get("JobMaterializePaused") in _PAUSED
            self._set_paused(str(ad.get("JobMaterializePauseReason") or "no reason") if paused else "")
        if proc is not None:
            self.record(proc).take_ad(ad)
        if self.log is None and ad.get("UserLog"):
            self.set_log(Path(ad.get("Iwd") or "/", ad["UserLog"]))

    def _take_event(self, event: Event) -> None:
        if event.proc >= 0:
            self._next = max(self._next, event.proc + 1)
            self.record(event.proc).take_event(event)
        elif event.type == EventType.CLUSTER_SUBMIT:  # which only factories have
            self.factory = True
        elif event.type == EventType.FACTORY_PAUSED and event.info.get("PauseCode") in _PAUSED:
            self._set_paused(str(event.info.get("Reason") or "no reason"))
        elif event.type == EventType.FACTORY_RESUMED:
            self._set_paused("")
        elif event.type == EventType.CLUSTER_REMOVE:
            # What a factory never made leaves no event of its own. (Of a cluster without one, it says n_procs.)
            self._next = int(event.info.get("NextProcId", self.n_procs))
            for proc in self.unmade:
                self.record(proc).never_made()

    def _set_paused(self, reason: str) -> None:
        """Note that the factory was put on hold, or released: that holds for what it has not made yet."""
        if reason != self.paused:
            self.paused = reason
            for proc in self.unmade:
                if not (record := self.record(proc)).in_log and not record.ended:
                    record.factory_paused(reason)
