"""Asking: of the queue, the history, the slots, the configuration, the event logs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from condormap.condor.calls import Caller
from condormap.condor.results import EventBatch, Fit, Identity, Match, read_events


class Asking(Caller):
    """The part of `Condor` that asks and changes nothing."""

    def query(
        self,
        constraint: str,
        projection: Sequence[str] = (),
        *,
        limit: int = -1,
        all_users: bool = False,
        cluster_ads: bool = False,
        deadline: float | None = None,
    ) -> list[dict[str, Any]]:
        """Return jobs of the queue.

        Parameters
        ----------
        constraint : str
            A ClassAd expression; ``"true"`` for all.
        projection : sequence of str, optional
            The attributes wanted; all by default. (HTCondor adds ``ServerTime``.)
        limit : int, optional
            At most so many; -1 for no limit.
        all_users : bool, optional
            Other users' jobs too.
        cluster_ads : bool, optional
            Ads of clusters too; they have no ``ProcId``. A factory has no other before its first job.
        deadline : float, optional
            Seconds.

        Returns
        -------
        list of dict
            Plain values: str, int, float, bool, None (undefined), list, dict; an expression that has no value by
            itself as its text.
        """
        return list(
            self._calls.ask(
                "query",
                deadline,
                constraint=constraint,
                projection=list(projection),
                limit=limit,
                all_users=all_users,
                cluster_ads=cluster_ads,
            )
        )

    def history(
        self,
        constraint: str,
        projection: Sequence[str] = (),
        *,
        limit: int = -1,
        deadline: float | None = None,
    ) -> list[dict[str, Any]]:
        """Return jobs that have left the queue, the last first; parameters and values as in `query`."""
        attributes = list(projection)
        return list(
            self._calls.ask(
                "history", deadline, constraint=constraint, projection=attributes, limit=limit, since=""
            )
        )

    def query_text(self, constraint: str, *, deadline: float | None = None) -> list[dict[str, str]]:
        """Return whole ads of any user's jobs, of the queue, or if it has none, of the history.

        The values are expressions of the submit language, which `query` does not tell from text: ``'"text"'``,
        ``'2 * RequestCpus'``.
        """
        return list(self._calls.ask("query_text", deadline, constraint=constraint))

    def slots(
        self, constraint: str = "true", projection: Sequence[str] = (), *, deadline: float | None = None
    ) -> list[dict[str, Any]]:
        """Return the slots that the collector knows, values as in `query`."""
        collector, attributes = self.address.collector, list(projection)
        return list(
            self._calls.local(
                "slots", deadline, collector=collector, constraint=constraint, projection=attributes
            )
        )

    def analyse(self, constraint: str, *, deadline: float | None = None) -> dict[tuple[int, int], Match]:
        """Return how the requirements of jobs in the queue and those of the slots meet, by cluster and proc.

        Parameters
        ----------
        constraint : str
            A ClassAd expression that is true of the jobs, anybody's. Jobs that match alike are analysed once.
        deadline : float, optional
            Seconds.
        """
        answer = self._calls.ask("analyse", deadline, collector=self.address.collector, constraint=constraint)
        found = [Match(**match) for match in answer["matches"]]
        return {job: found[index] for job, index in answer["jobs"].items()}

    def fit(self, request: Mapping[str, str], *, deadline: float | None = None) -> Fit:
        """Return how the pool's slots fit a job that is not in the queue.

        Parameters
        ----------
        request : mapping of str to str
            The job's attributes, as ClassAd expressions; ``Requirements`` has to be among them.
        deadline : float, optional
            Seconds.
        """
        answer = self._calls.local("fit", deadline, collector=self.address.collector, request=dict(request))
        return Fit(**answer)

    def schedd_ad(self, *, deadline: float | None = None) -> dict[str, Any]:
        """Return the ad of the schedd in use, as the schedd itself gives it."""
        return dict(self._calls.ask("schedd_ad", deadline))

    def ping(self, *, deadline: float | None = None) -> Identity:
        """Return who the schedd takes us for when we ask to change its queue."""
        return Identity(**self._calls.ask("ping", deadline))

    def param(self, *names: str, deadline: float | None = None) -> dict[str, str | None]:
        """Return values of HTCondor's configuration as the child has it; None for what it does not define."""
        return dict(self._calls.local("param", deadline, names=list(names)))

    def importable(self, names: Sequence[str], *, deadline: float | None = None) -> dict[str, str | None]:
        """Return where a fresh interpreter finds top-level modules; None for those that it does not.

        Fresh: this Python without ``PYTHONPATH``, without the current folder, and without what this process has
        done to ``sys.path``; a job's Python on a shared file system, that is.
        """
        return dict(self._calls.local("importable", deadline, names=list(names)))

    def events(
        self, path: str | os.PathLike[str], offset: int, *, limit: int = 10_000, deadline: float | None = None
    ) -> EventBatch:
        """Return the events of a job event log after a byte offset, without waiting for any.

        No daemon is asked. An event that is being written is left for the next call.

        Parameters
        ----------
        path : str or path
            The log; `StorageError` when it does not exist.
        offset : int
            0, or the offset of the batch before, of this or of another process.
        limit : int, optional
            At most so many events.
        deadline : float, optional
            Seconds.
        """
        text, end, damaged = self._calls.local(
            "events", deadline, path=os.path.abspath(path), offset=offset, limit=limit
        )
        if damaged is not None:
            damaged = f"{os.fspath(path)} is damaged: {damaged}"
        return EventBatch(read_events(text), end, damaged)
