"""The calls as the child makes them: the only module that imports HTCondor's bindings, with `eventlog`."""

from __future__ import annotations

import importlib.machinery
import re
import socket
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import classad2
import htcondor2
from htcondor2 import HTCondorException

from condormap.condor.eventlog import EventLog

__all__ = ["Bindings", "HTCondorException", "Refusal"]

T = TypeVar("T")
_ACTIONS = {
    "hold": htcondor2.JobAction.Hold,
    "release": htcondor2.JobAction.Release,
    "remove": htcondor2.JobAction.Remove,
    "vacate": htcondor2.JobAction.Vacate,
    "vacate-fast": htcondor2.JobAction.VacateFast,
    "suspend": htcondor2.JobAction.Suspend,
    "continue": htcondor2.JobAction.Continue,
}


class Refusal(Exception):
    """The call ended here, not in HTCondor; `kind` says how (see `translate`)."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class Bindings:
    """One method per call of `Condor`; arguments and answers are plain data.

    Parameters
    ----------
    path : list of str
        ``sys.path`` of a fresh interpreter.
    """

    def __init__(self, path: list[str]) -> None:
        self._path = path
        self._location: Any = None
        self._owner = ""
        self._logs: dict[str, EventLog] = {}

    # -- the schedd ---------------------------------------------------------------------------------------------

    def _locate(self, schedd: str | None, collector: str | None) -> Any:
        """Return the ad that says where the schedd is."""
        if self._location is not None:
            return self._location
        found: Any
        pool = htcondor2.Collector(collector)
        if schedd is not None:
            found = pool.locate(htcondor2.DaemonType.Schedd, schedd)
            if found is None:
                raise Refusal("unknown", schedd)
        elif collector is None:
            found = pool.locate(htcondor2.DaemonType.Schedd)
        else:
            found = _only(pool.locateAll(htcondor2.DaemonType.Schedd))
        self._location = found
        return found

    def _on_schedd(self, at: Mapping[str, Any], call: Callable[[Any], T]) -> T:
        """Make `call` with the schedd; look again for where it is when that has changed, as after a restart."""
        known = self._location
        location = self._locate(**at)
        try:
            return call(htcondor2.Schedd(location))
        except HTCondorException as error:
            self._location = None
            if known is None or "connect" not in str(error).lower():
                raise
            location = self._locate(**at)
            if location["MyAddress"] == known["MyAddress"]:
                raise
            return call(htcondor2.Schedd(location))

    def submit(
        self, at: Mapping[str, Any], description: str, rows: Sequence[dict[str, str]], count: int
    ) -> tuple[int, int, int, tuple[str, ...]]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")  # Python shows a warning that it has shown before only once
            submit = htcondor2.Submit(description)
            visit = submit.issue_credentials()
            if visit:
                raise Refusal("visit", visit)
            items: Iterator[dict[str, str]] | None = iter(rows) if rows else None
            result = self._on_schedd(at, lambda schedd: schedd.submit(submit, count, itemdata=items))
        texts = tuple(str(warning.message).strip() for warning in caught)
        return result.cluster(), result.first_proc(), result.num_procs(), texts

    def act(
        self, at: Mapping[str, Any], action: str, jobs: list[str] | str, reason: str
    ) -> dict[str, int] | None:
        # A reason that is not a tuple is lost on its way.
        result = self._on_schedd(at, lambda schedd: schedd.act(_ACTIONS[action], jobs, reason=(reason, 0)))
        return None if result is None else dict(result.items())

    def edit(self, at: Mapping[str, Any], attributes: dict[str, str], constraint: str) -> int:
        for name, expression in attributes.items():
            _check_expression(expression, f"the value of {name}")
        _check_expression(constraint, "the constraint")
        if not self._owner:
            self._owner = self.ping(at)["user"].partition("@")[0]
        # Without an Owner clause a queue super user would edit everyone's jobs.
        mine = f"({constraint}) && Owner == {classad2.quote(self._owner)}"

        def edit(schedd: Any) -> int:
            edited = 0
            for name, expression in attributes.items():
                edited = schedd.edit(mine, name, expression)
            return edited

        return self._on_schedd(at, edit)

    def query(
        self,
        at: Mapping[str, Any],
        constraint: str,
        projection: list[str],
        limit: int,
        all_users: bool,
        cluster_ads: bool,
    ) -> list[dict[str, Any]]:
        options = htcondor2.QueryOpt.Default
        if not all_users:
            options |= htcondor2.QueryOpt.DefaultMyJobsOnly
        if cluster_ads:
            options |= htcondor2.QueryOpt.IncludeClusterAd
        ads = self._on_schedd(
            at, lambda schedd: schedd.query(constraint, projection, limit=limit, opts=options)
        )
        return [_plain(ad) for ad in ads]

    def history(
        self, at: Mapping[str, Any], constraint: str, projection: list[str], limit: int, since: str
    ) -> list[dict[str, Any]]:
        ads = self._on_schedd(
            at, lambda schedd: schedd.history(constraint, projection, limit, since=since or None)
        )
        return [_plain(ad) for ad in ads]

    def schedd_ad(self, at: Mapping[str, Any]) -> dict[str, Any]:
        ads = htcondor2.Collector(self._locate(**at)).query(htcondor2.AdType.Schedd)
        return _plain(ads[0])

    def ping(self, at: Mapping[str, Any]) -> dict[str, str]:
        location = self._locate(**at)
        answer = htcondor2.ping(location, "WRITE")
        return {
            "user": answer.get("MyRemoteUserName", ""),
            "method": answer.get("AuthMethods", ""),
            "schedd": location.get("Name", ""),
            "address": location.get("MyAddress", ""),
            "version": location.get("CondorVersion", ""),
        }

    # -- the rest -----------------------------------------------------------------------------------------------

    def slots(self, collector: str | None, constraint: str, projection: list[str]) -> list[dict[str, Any]]:
        ads = htcondor2.Collector(collector).query(htcondor2.AdType.Startd, constraint, projection)
        return [_plain(ad) for ad in ads]

    def param(self, names: list[str]) -> dict[str, str | None]:
        return {name: _param(name) for name in names}

    def events(self, path: str, offset: int, limit: int) -> tuple[str, int, str | None]:
        log = self._logs.get(path)
        if log is None:
            log = self._logs[path] = EventLog(path)
        return log.read(offset, limit)

    def importable(self, names: list[str]) -> dict[str, str | None]:
        return {name: _origin(name, self._path) for name in names}


def _only(ads: list[Any]) -> Any:
    """Return the one schedd of a pool that was named by its collector: this machine's, or the only one."""
    here = [ad for ad in ads if ad.get("Machine") == socket.getfqdn()]
    if len(here) == 1:
        return here[0]
    if len(ads) == 1:
        return ads[0]
    raise Refusal("which", ", ".join(sorted(ad.get("Name", "?") for ad in ads)))


def _check_expression(text: str, what: str) -> None:
    try:
        classad2.ExprTree(text)
    except Exception as error:
        raise Refusal("invalid", f"{what} is not a ClassAd expression: {text!r} ({error})") from None


def _plain(ad: Any) -> dict[str, Any]:
    return {name: _value(value) for name, value in ad.items()}


def _value(value: Any) -> Any:
    if isinstance(value, (classad2.Value, classad2.ExprTree)):  # Value is an int: it must come first
        return None if value is classad2.Value.Undefined else str(value)
    if isinstance(value, (str, int, float)):
        return value
    if isinstance(value, classad2.ClassAd):
        return _plain(value)
    if isinstance(value, list):
        return [_value(each) for each in value]
    return str(value)


def _param(name: str) -> str | None:
    try:
        return str(htcondor2.param[name])
    except KeyError:
        return None


def _origin(name: str, path: list[str]) -> str | None:
    if not re.fullmatch(r"\w+", name):
        return None
    for finder in (importlib.machinery.BuiltinImporter, importlib.machinery.FrozenImporter):
        spec = finder.find_spec(name)
        if spec is not None:
            return spec.origin
    spec = importlib.machinery.PathFinder.find_spec(name, path)
    if spec is None:
        return None
    locations = list(spec.submodule_search_locations or ())
    return spec.origin or (locations[0] if locations else None)
