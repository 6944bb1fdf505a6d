"""What plain jobs have written: their output files and their event logs, found by their ads.

Where a job has none that can be read here, the error that says why stands in its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..condor import Condor
from ..errors import NoSuchJobError, StorageError
from .ad import JobAd
from .log import LogReader, job_texts
from .part import JobKey, Part
from .queue import refresh
from .reading import read_ads


def outputs(parts: Sequence[Part], attribute: str) -> dict[JobKey, str | StorageError | NoSuchJobError]:
    """Return the texts of the files that an attribute (``"Out"``, ``"Err"``) names; see `Job.stdout`."""
    refresh(parts)
    found: dict[JobKey, str | StorageError | NoSuchJobError] = {}
    for key, ad in read_ads(parts, (attribute, "Iwd")).items():
        state, proc = key
        if isinstance(ad, NoSuchJobError):
            found[key] = ad
            continue
        try:
            found[key] = _text(f"job {state.cluster}.{proc}", ad, attribute, ended=state.record(proc).ended)
        except StorageError as error:
            found[key] = error
    return found


def _text(job: str, ad: JobAd, attribute: str, *, ended: bool) -> str:
    name = str(ad.get(attribute) or "/dev/null")
    if name == "/dev/null":
        return ""
    path = Path(ad.get("Iwd") or "/", name)
    try:
        return path.read_text(errors="replace")
    except FileNotFoundError:
        if not ended:
            return ""
        raise StorageError(
            f"{job} has ended, and {path} is not there: it never ran, the file was moved, or it is on the machine"
            " of its schedd"
        ) from None
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}") from error


def logs(parts: Sequence[Part]) -> dict[JobKey, str | StorageError | NoSuchJobError]:
    """Return what the jobs' event logs say of them, word for word."""
    found: dict[JobKey, str | StorageError | NoSuchJobError] = {}
    by_path: dict[Path, list[JobKey]] = {}
    for key, path in _log_paths(parts).items():
        if isinstance(path, Path):
            by_path.setdefault(path, []).append(key)
        else:
            found[key] = path
    for path, keys in by_path.items():
        try:
            texts = job_texts(path, {(state.cluster, proc) for state, proc in keys})
        except StorageError as error:
            found |= dict.fromkeys(keys, error)
        else:
            found |= {(state, proc): texts[state.cluster, proc] for state, proc in keys}
    return found


def log_readers(parts: Sequence[Part]) -> list[LogReader]:
    """Return readers of the jobs' event logs, one for each log.

    Raises
    ------
    StorageError
        One of them has no log that can be read here.
    """
    jobs: dict[tuple[Condor, Path], set[tuple[int, int]]] = {}
    for (state, proc), path in _log_paths(parts).items():
        if not isinstance(path, Path):
            raise path
        jobs.setdefault((state.condor, path), set()).add((state.cluster, proc))
    return [LogReader(condor, path, found) for (condor, path), found in jobs.items()]


def _log_paths(parts: Sequence[Part]) -> dict[JobKey, Path | StorageError | NoSuchJobError]:
    """Return where the jobs' event logs are; those of whose log nobody has told yet are asked for."""
    for follower in {part.state.log for part in parts if part.state.log is not None}:
        follower.read()
    found: dict[JobKey, Path | StorageError | NoSuchJobError] = {}
    unknown = []
    for part in parts:
        state, log = part.state, part.state.log
        logged = {proc for proc in part.procs if log and (state.record(proc).in_log or proc in state.unmade)}
        if log is not None:
            found |= {(state, proc): log.path for proc in logged}
        if (others := part.without(logged)).procs:
            unknown.append(others)
    for (state, proc), ad in (read_ads(unknown, ("UserLog", "Iwd")) if unknown else {}).items():
        found[state, proc] = (
            ad if isinstance(ad, NoSuchJobError) else _log_path(f"job {state.cluster}.{proc}", ad)
        )
    return found


def _log_path(job: str, ad: JobAd) -> Path | StorageError:
    if not ad.get("UserLog"):
        return StorageError(f"{job} has no event log; one that is submitted with `log = FILE` has")
    path = Path(ad.get("Iwd") or "/", ad["UserLog"])
    if not path.is_file():
        return StorageError(f"the event log of {job} is not here: {path}; it is on the machine of its schedd")
    return path
