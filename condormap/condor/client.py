"""`Condor`: calls to one pool's HTCondor, each bounded by a deadline, each failure a typed error."""

from __future__ import annotations

import datetime
import json
import os
import re
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from condormap import errors
from condormap.address import PoolAddress
from condormap.condor import translate
from condormap.condor.process import ChildLostError, ChildTimeoutError, Process
from condormap.condor.results import Action, ActResult, Event, EventBatch, Identity, Submitted

_SUBMISSION_ID = re.compile(r"[A-Za-z0-9_.:-]+")
_ROW_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ROW_VALUE = re.compile(r"[A-Za-z0-9_.-]+")
_ATTRIBUTE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_JOB = re.compile(r"\d+(\.\d+)?")


class Condor:
    """One pool's HTCondor, through a child process that is started by the first call."""

    def __init__(self, address: PoolAddress) -> None:
        self.address = address
        self._at = {"schedd": address.schedd, "collector": address.collector}
        self._process = Process(_environment(address))

    def start(self) -> None:
        self._process.start()

    def close(self) -> None:
        self._process.close()

    def submit(self, description: str, *, rows: Sequence[Mapping[str, str]] = (), count: int = 0,
               submission_id: str, deadline: float | None = None) -> Submitted:
        text = f'{description.rstrip()}\nMY.CondormapSubmission = "{submission_id}"\n'
        arguments = {"at": self._at, "description": text, "rows": [dict(r) for r in rows], "count": count}
        return Submitted(*self._call("submit", arguments, deadline or 60.0))

    def find_submission(self, submission_id: str, *, deadline: float | None = None) -> int | None:
        constraint = f'CondormapSubmission == "{submission_id}"'
        ads = self.query(constraint, ["ClusterId"], limit=1, cluster_ads=True)
        ads = ads or self.history(constraint, ["ClusterId"], limit=1)
        return int(ads[0]["ClusterId"]) if ads else None

    def act(self, action: Action | str, *, jobs: Sequence[str] | None = None, constraint: str | None = None,
            reason: str = "", deadline: float | None = None) -> ActResult:
        spec = constraint if jobs is None else list(jobs)
        arguments = {"at": self._at, "action": Action(action).value, "jobs": spec, "reason": reason}
        return ActResult(self._call("act", arguments, deadline or 20.0))

    def edit(self, attributes: Mapping[str, str], *, jobs: Sequence[str] | None = None,
             constraint: str | None = None, deadline: float | None = None) -> int:
        arguments = {"at": self._at, "attributes": dict(attributes), "constraint": constraint or _constraint(jobs or ())}
        return int(self._call("edit", arguments, deadline or 20.0))

    def query(self, constraint: str, projection: Sequence[str] = (), *, limit: int = -1, all_users: bool = False,
              cluster_ads: bool = False, deadline: float | None = None) -> list[dict[str, Any]]:
        return self._call("query", {"at": self._at, "constraint": constraint, "projection": list(projection),
            "limit": limit, "all_users": all_users, "cluster_ads": cluster_ads}, deadline or 20.0)

    def history(self, constraint: str, projection: Sequence[str] = (), *, limit: int = -1,
                deadline: float | None = None) -> list[dict[str, Any]]:
        return self._call("history", {"at": self._at, "constraint": constraint, "projection": list(projection),
            "limit": limit, "since": ""}, deadline or 60.0)

    def slots(self, constraint: str = "true", projection: Sequence[str] = (), *,
              deadline: float | None = None) -> list[dict[str, Any]]:
        return self._call("slots", {"collector": self.address.collector, "constraint": constraint,
            "projection": list(projection)}, deadline or 20.0)

    def schedd_ad(self, *, deadline: float | None = None) -> dict[str, Any]:
        return self._call("schedd_ad", {"at": self._at}, deadline or 20.0)

    def ping(self, *, deadline: float | None = None) -> Identity:
        return Identity(**self._call("ping", {"at": self._at}, deadline or 20.0))

    def param(self, *names: str, deadline: float | None = None) -> dict[str, str | None]:
        return self._call("param", {"names": list(names)}, deadline or 20.0)

    def importable(self, names: Sequence[str], *, deadline: float | None = None) -> dict[str, str | None]:
        return self._call("importable", {"names": list(names)}, deadline or 20.0)

    def events(self, path: str, offset: int, *, limit: int = 10_000, deadline: float | None = None) -> EventBatch:
        text, offset, damaged = self._call("events", {"path": str(path), "offset": offset, "limit": limit}, deadline or 20.0)
        return EventBatch(_events(text), offset, damaged)

    def _call(self, name: str, arguments: Mapping[str, Any], deadline: float) -> Any:
        try:
            kind, value = self._process.call(name, arguments, until=time.monotonic() + deadline)
        except ChildTimeoutError:
            raise errors.DeadlineError(f"{name}: no answer within {deadline:g} s") from None
        except ChildLostError as lost:
            raise errors.CondorError(f"{name}: the child process died: {lost}") from None
        if kind == "ok":
            return value
        if kind == "condor":
            raise translate.classify(value)(f"{name}: {value}")
        raise errors.RefusedError(f"{name}: {kind}: {value}")


def _constraint(jobs: Sequence[str]) -> str:
    clauses = []
    for job in jobs:
        cluster, _, proc = job.partition(".")
        clauses.append(f"(ClusterId == {cluster} && ProcId == {proc})" if proc else f"ClusterId == {cluster}")
    return " || ".join(clauses)


_times: dict[str, float] = {}


def _time(text: str) -> float:
    return datetime.datetime.fromisoformat(text).timestamp()


def _events(text: str) -> list[Event]:
    events = []
    for info in json.loads(text):
        kind, cluster, proc = info.pop("EventTypeNumber"), info.pop("Cluster", -1), info.pop("Proc", -1)
        events.append(Event(kind, cluster, proc, _time(info.pop("EventTime")), info))
    return events


def _environment(address: PoolAddress) -> dict[str, str]:
    environment = dict(os.environ)
    if address.config_file is not None:
        environment["CONDOR_CONFIG"] = str(address.config_file)
    if address.collector is not None:
        environment["_CONDOR_COLLECTOR_HOST"] = address.collector
    return environment


_connected: dict[PoolAddress, Condor] = {}
_connecting = threading.Lock()


def connect(address: PoolAddress) -> Condor:
    """Return the one `Condor` of this process for `address`; its child is started by the first call."""
    with _connecting:
        if address not in _connected:
            _connected[address] = Condor(address)
        return _connected[address]
