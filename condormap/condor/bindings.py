"""The calls as the child makes them, by HTCondor's bindings.

Arguments and answers are plain data. An answer is a pair: how the call ended, and the value or a text. The
endings other than ``"ok"`` become errors in `translate`.
"""

from __future__ import annotations

import importlib.machinery
import os
import re
import socket
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import classad2
import htcondor2
from classad2 import ClassAdException
from htcondor2 import HTCondorException

from condormap.condor import analysis, blocks, fitting
from condormap.condor.eventlog import EventLogs
from condormap.condor.place import inside
from condormap.condor.values import Refusal, as_of_old, expression, plain

T = TypeVar("T")

_NO_CONNECTION = "Failed to connect to schedd"  # before a submit: not connected, or not authenticated

# SetAttribute_PostSubmitClusterChange of condor_qmgr.h, as `condor_qedit CLUSTER` sets it; the bindings
# have no name for it.
_CLUSTER_ADS_TOO = htcondor2.TransactionFlag(1 << 7)

_ACTIONS = {
    "hold": htcondor2.JobAction.Hold,
    "release": htcondor2.JobAction.Release,
    "remove": htcondor2.JobAction.Remove,
    "vacate": htcondor2.JobAction.Vacate,
    "vacate-fast": htcondor2.JobAction.VacateFast,
    "suspend": htcondor2.JobAction.Suspend,
    "continue": htcondor2.JobAction.Continue,
}


class Bindings:
    """One method per call.

    Parameters
    ----------
    path : list of str
        ``sys.path`` as a fresh interpreter has it.
    """

    def __init__(self, path: list[str]) -> None:
        self._path = path
        self._location: Any = None
        self._logs = EventLogs()
        self._calls: dict[str, Callable[..., Any]] = {
            "act": self._act,
            "analyse": self._analyse,
            "edit": self._edit,
            "events": self._logs.read,
            "expand_block": self._expand_block,
            "fit": self._fit,
            "history": self._history,
            "importable": self._importable,
            "param": self._param,
            "ping": self._ping,
            "query": self._query,
            "query_text": self._query_text,
            "rehearse_block": self._rehearse_block,
            "schedd_ad": self._schedd_ad,
            "slots": self._slots,
            "submit": self._submit,
            "submit_block": self._submit_block,
        }
        # Many messages of the bindings leave out why ("Error when performing action on the schedd."); with this,
        # HTCondor writes the reason to standard error, which the parent reads.
        htcondor2.enable_debug()

    def answer(self, name: str, arguments: Mapping[str, Any]) -> tuple[str, Any]:
        """Make the call `name`; never raises."""
        try:
            return "ok", self._calls[name](**arguments)
        except Refusal as refusal:
            self._location = self._location if refusal.kind == "invalid" else None
            return refusal.kind, str(refusal)
        except HTCondorException as error:
            return "condor", str(error)
        except (ClassAdException, ValueError) as error:  # what the bindings raise for text they cannot parse
            return "invalid", str(error)
        except OSError as error:
            return "file", f"{error.filename}: {error.strerror}"
        except Exception:
            return "bug", traceback.format_exc()

    # -- where the schedd is ------------------------------------------------------------------------------------

    def _locate(self, schedd: str | None, collector: str | None) -> Any:
        if self._location is None:
            self._location = _find(schedd, collector)
        return self._location

    def _at_schedd(self, at: Mapping[str, Any], call: Callable[[Any], T]) -> T:
        """Make `call` with the schedd's location; if that is an old one, as after a restart, find the new one."""
        known = self._location
        try:
            return call(self._locate(**at))
        except HTCondorException:
            self._location = None
            if known is None or self._locate(**at)["MyAddress"] == known["MyAddress"]:
                raise
            return call(self._location)

    # -- calls to the schedd ------------------------------------------------------------------------------------

    def _submit(
        self, at: Mapping[str, Any], folder: str, description: str, rows: Sequence[dict[str, str]], count: int
    ) -> tuple[int, int, int, tuple[str, ...]]:
        def send(ad: Any, submit: Any) -> Any:
            return htcondor2.Schedd(ad).submit(submit, count, itemdata=iter(rows) if rows else None)

        with inside(folder):
            return self._submit_by(send, at, description)

    def _submit_block(
        self, at: Mapping[str, Any], folder: str, environment: dict[str, str], description: str
    ) -> tuple[int, int, int, tuple[str, ...]]:
        def send(ad: Any, submit: Any) -> Any:
            return blocks.submit(ad["MyAddress"], submit)

        with inside(folder, environment):
            return self._submit_by(send, at, description)

    def _rehearse_block(
        self, at: Mapping[str, Any], folder: str, environment: dict[str, str], description: str
    ) -> None:
        with inside(folder, environment):
            submit = htcondor2.Submit(description)
            blocks.complete(submit)
            why = self._at_schedd(at, lambda ad: blocks.rehearse(ad["MyAddress"], submit))
        if why:
            raise Refusal("ad", why)

    def _submit_by(
        self, send: Callable[[Any, Any], Any], at: Mapping[str, Any], description: str
    ) -> tuple[int, int, int, tuple[str, ...]]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")  # or a warning that was given before is not given again
            submit = htcondor2.Submit(description)
            blocks.complete(submit)
            if visit := submit.issue_credentials():
                raise Refusal("visit", visit)
            result = self._at_schedd(at, lambda ad: _certain(lambda: send(ad, submit)))
        texts = tuple(str(warning.message).strip() for warning in caught)
        return result.cluster(), result.first_proc(), result.num_procs(), texts

    def _expand_block(
        self,
        folder: str,
        environment: dict[str, str],
        statements: list[tuple[str, int]],
        queue: str,
        wanted: list[str],
        limit: int,
        later: str,
    ) -> dict[str, Any]:
        with inside(folder, environment):
            return blocks.expand(statements, queue, wanted, limit, later)

    def _act(self, at: Mapping[str, Any], action: str, jobs: list[str] | str, reason: str) -> dict[str, int]:
        if isinstance(jobs, str):
            jobs = str(expression(jobs, "the constraint"))
        # A reason that is not a tuple is lost, and so is one with an unescaped quote, a newline, a last backslash.
        text = " ".join(reason.split()).replace('"', '\\"')
        text += " " if text.endswith("\\") else ""
        totals = self._at_schedd(
            at, lambda ad: htcondor2.Schedd(ad).act(_ACTIONS[action], jobs, reason=(text, 0))
        )
        if totals is None:
            raise HTCondorException("the schedd gave no totals")
        return dict(totals.items())

    def _edit(
        self, at: Mapping[str, Any], attributes: dict[str, str], constraint: str, cluster_ads: bool
    ) -> int:
        # As parsed and written again by us: the schedd takes a value that is no expression without a word.
        values = {
            name: as_of_old(name, " ".join(str(expression(text, f"the value of {name}")).split("\n")))
            for name, text in attributes.items()
        }
        # Without an Owner clause, a queue super user would edit everyone's jobs.
        owner = self._session(at).get("MyRemoteUserName", "").partition("@")[0]
        mine = f"({expression(constraint, 'the constraint')}) && Owner == {classad2.quote(owner)}"

        flags = _CLUSTER_ADS_TOO if cluster_ads else htcondor2.TransactionFlag.Default

        def edit(ad: Any) -> int:
            schedd = htcondor2.Schedd(ad)
            edited = 0
            for name, value in values.items():
                try:
                    edited = schedd.edit(mine, name, value, flags)
                except HTCondorException as error:
                    if "matching constraint" not in str(error):
                        raise
                    # That covers "no such job" and "not that attribute"; an edit by id says which.
                    found = schedd.query(mine, ["ClusterId", "ProcId"], limit=1)
                    if not found:
                        return 0
                    schedd.edit([f"{found[0]['ClusterId']}.{found[0]['ProcId']}"], name, value)
                    raise
            return edited

        return self._at_schedd(at, edit)

    def _query(
        self,
        at: Mapping[str, Any],
        constraint: str,
        projection: list[str],
        limit: int,
        all_users: bool,
        cluster_ads: bool,
    ) -> list[dict[str, Any]]:
        wanted = str(expression(constraint, "the constraint"))
        options = htcondor2.QueryOpt.Default if all_users else htcondor2.QueryOpt.DefaultMyJobsOnly
        if cluster_ads:
            options |= htcondor2.QueryOpt.IncludeClusterAd
        ads = self._at_schedd(
            at, lambda ad: htcondor2.Schedd(ad).query(wanted, projection, limit=limit, opts=options)
        )
        return [plain(ad) for ad in ads]

    def _query_text(self, at: Mapping[str, Any], constraint: str) -> list[dict[str, str]]:
        wanted = str(expression(constraint, "the constraint"))
        ads = self._at_schedd(
            at, lambda ad: htcondor2.Schedd(ad).query(wanted) or htcondor2.Schedd(ad).history(wanted)
        )
        # The old syntax, which is that of the submit language: it has other rules for a backslash.
        return [dict(line.split(" = ", 1) for line in ad.printOld().splitlines()) for ad in ads]

    def _history(
        self, at: Mapping[str, Any], constraint: str, projection: list[str], limit: int, since: str
    ) -> list[dict[str, Any]]:
        wanted = str(expression(constraint, "the constraint"))
        stop = expression(since, "since") if since else None
        ads = self._at_schedd(
            at, lambda ad: htcondor2.Schedd(ad).history(wanted, projection, limit, since=stop)
        )
        return [plain(ad) for ad in ads]

    def _analyse(self, at: Mapping[str, Any], collector: str | None, constraint: str) -> dict[str, Any]:
        wanted = str(expression(constraint, "the constraint"))
        jobs = self._at_schedd(at, lambda ad: htcondor2.Schedd(ad).query(wanted))
        slots = htcondor2.Collector(collector).query(htcondor2.AdType.Startd) if jobs else []
        return analysis.analyse(jobs, slots)

    def _schedd_ad(self, at: Mapping[str, Any]) -> dict[str, Any]:
        # The schedd's own answer and not the collector's copy, which is as old as the last update.
        ads = self._at_schedd(at, lambda ad: htcondor2.Collector(ad).query(htcondor2.AdType.Schedd))
        return plain(ads[0])

    def _ping(self, at: Mapping[str, Any]) -> dict[str, str]:
        session = self._session(at)
        # Where the schedd is found by a file on this machine, an older one's name is only a guess.
        ad = self._schedd_ad(at)
        return {
            "user": session.get("MyRemoteUserName", ""),
            "method": session.get("AuthMethods", ""),
            "schedd": ad["Name"],
            "address": ad["MyAddress"],
            "version": ad["CondorVersion"],
        }

    def _session(self, at: Mapping[str, Any]) -> Any:
        return self._at_schedd(at, lambda ad: htcondor2.ping(ad, "WRITE"))

    # -- other calls --------------------------------------------------------------------------------------------

    def _slots(self, collector: str | None, constraint: str, projection: list[str]) -> list[dict[str, Any]]:
        wanted = str(expression(constraint, "the constraint"))
        ads = htcondor2.Collector(collector).query(htcondor2.AdType.Startd, wanted, projection)
        return [plain(ad) for ad in ads]

    def _fit(self, collector: str | None, request: dict[str, str]) -> dict[str, Any]:
        expressions = {name: expression(text, name) for name, text in request.items()}
        pool = htcondor2.Collector(collector)
        return fitting.fit(expressions, lambda names: pool.query(htcondor2.AdType.Startd, projection=names))

    def _param(self, names: list[str]) -> dict[str, str | None]:
        values: dict[str, str | None] = {}
        for name in names:
            try:
                values[name] = str(htcondor2.param[name])
            except KeyError:
                values[name] = None
        return values

    def _importable(self, names: list[str]) -> dict[str, str | None]:
        # PYTHONPATH is the user's process's, or its shell's: a job does not have it.
        added = {os.path.abspath(each) for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each}
        path = [each for each in self._path if os.path.abspath(each) not in added]
        return {name: _origin(name, path) for name in names}


def _find(schedd: str | None, collector: str | None) -> Any:
    """Return the ad that says where the schedd is; `Schedd(None)` would silently take the local one."""
    pool = htcondor2.Collector(collector)
    if schedd is not None:
        found = pool.locate(htcondor2.DaemonType.Schedd, schedd)
        if found is None:
            raise Refusal("unknown", schedd)
        return found
    if collector is None:
        return pool.locate(htcondor2.DaemonType.Schedd)
    # Of a pool that was named by its collector: this machine's schedd, or the only one.
    ads = pool.locateAll(htcondor2.DaemonType.Schedd)
    here = [ad for ad in ads if ad.get("Machine") == socket.getfqdn()]
    for choice in (here, ads):
        if len(choice) == 1:
            return choice[0]
    raise Refusal("which", ", ".join(sorted(ad.get("Name", "?") for ad in ads)))


def _certain(submit: Callable[[], T]) -> T:
    try:
        return submit()
    except HTCondorException as error:
        if _NO_CONNECTION in str(error):
            raise
        if why := blocks.no_ad(error):
            raise Refusal("ad", why) from None
        # The connection may have been lost between the schedd's commit and its answer.
        raise Refusal("uncertain", str(error)) from None


def _origin(name: str, path: list[str]) -> str | None:
    if not re.fullmatch(r"\w+", name):
        return None
    for finder in (importlib.machinery.BuiltinImporter, importlib.machinery.FrozenImporter):
        if (spec := finder.find_spec(name)) is not None:
            return spec.origin
    spec = importlib.machinery.PathFinder.find_spec(name, path)
    if spec is None:
        return None
    return spec.origin or next(iter(spec.submodule_search_locations or ()), None)
