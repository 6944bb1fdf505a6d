"""What the queue and the history tell of a map's jobs and the event log does not."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from ..events import AD_ATTRIBUTES
from ..status import JobStatus
from .tracking import JobTable

#: The attributes of an ad that `compare` reads.
ATTRIBUTES = ["ClusterId", "ProcId", "CondormapSubmission", "CondormapChunk", *AD_ATTRIBUTES]


def unexplained(table: JobTable, clusters: Set[int], ads: Sequence[Mapping[str, Any]]) -> set[int]:
    """Return the clusters of which jobs left the queue without a word of it in the log; read that first.

    Parameters
    ----------
    table : JobTable
        The jobs as the log tells of them.
    clusters : set of int
        The clusters that the queue was asked for.
    ads : sequence of mapping
        Their jobs in the queue, and the clusters' own ads, with `ATTRIBUTES`.
    """
    present = _ids(ads)
    found = {id[0] for id in table.live if id[0] in clusters and id not in present}
    return found | {cluster for cluster in clusters - _clusters(present) if not _has_all(table, cluster)}


def compare(
    table: JobTable,
    clusters: Set[int],
    ads: Sequence[Mapping[str, Any]],
    past: Sequence[Mapping[str, Any]],
) -> None:
    """Take note of what the queue and the history tell and the log does not.

    A job of which the log tells, and not of its end, is lost if it is in neither. A job that was submitted on
    hold has no event that says so. A log that lacks a job that runs, or has run, is damaged.

    Parameters
    ----------
    table, clusters, ads
        As for `unexplained`.
    past : sequence of mapping
        The ads that the history has of the clusters that `unexplained` returned.
    """
    present = _ids(ads)
    for ad in past:
        _take_ad(table, ad)
    for id, lost in list(table.live.items()):
        if id[0] in clusters and id not in present and not lost.lost:
            table.note_damage(f"it does not tell how job {lost.id} ended")
            before, lost.status, lost.lost = lost.status, JobStatus.REMOVED, True
            table.note_change(lost, before)
    for cluster in clusters - _clusters(present):
        table.gone.setdefault(cluster, time.monotonic())
        if not _has_all(table, cluster):
            table.note_damage(f"it does not tell of all jobs of cluster {cluster}")
        table.closed.add(cluster)
    for ad in ads:
        job, status = table.live.get((ad["ClusterId"], ad.get("ProcId", -1))), ad.get("JobStatus")
        unknown = job is None and status == JobStatus.RUNNING
        held = job is not None and job.status == JobStatus.IDLE and status == JobStatus.HELD
        if table.damage is not None or unknown or held:
            _take_ad(table, ad)


def _has_all(table: JobTable, cluster: int) -> bool:
    """Tell whether the log has told of a job for each chunk of a cluster."""
    return all(
        table.get(submission, chunk) is not None
        for submission in table.submissions
        if submission.cluster == cluster
        for chunk in range(len(submission.chunks))
    )


def _take_ad(table: JobTable, ad: Mapping[str, Any]) -> None:
    """Take note of a job's ad, where it says more than the log has."""
    submission = next((s for s in table.submissions if s.id == ad.get("CondormapSubmission")), None)
    if submission is None or "ProcId" not in ad or "CondormapChunk" not in ad:
        return
    job = table.get(submission, ad["CondormapChunk"])
    if job is None:
        job = table.add(submission, ad["CondormapChunk"], ad["ClusterId"], ad["ProcId"])
        table.note_damage(f"it does not tell of job {job.id}")
    if job.lost or not job.is_over:
        before, job.lost = job.status, False
        job.note_ad(ad)
        if job.is_over:
            table.note_damage(f"it does not tell how job {job.id} ended")
        table.note_change(job, before)


def _ids(ads: Iterable[Mapping[str, Any]]) -> set[tuple[int, int]]:
    return {(ad["ClusterId"], ad.get("ProcId", -1)) for ad in ads}


def _clusters(ids: Iterable[tuple[int, int]]) -> set[int]:
    return {cluster for cluster, _ in ids}
