"""The judge of what condormap submits: condor_submit, on the same pool. Both submit on hold; ads are compared."""

from __future__ import annotations

import importlib.metadata
import os
import re
import secrets
import subprocess
import time
from pathlib import Path

import pytest

from condormap.condor import Condor, connect
from condormap.jdf.split import Block
from condormap.pool.daemons import version_key
from condormap.pool.personal import PersonalPool

Ad = dict[str, str]

#: Attributes that differ, and why.
EXPLAINED = {
    "AutoClusterAttrs": "the schedd's own, at the next negotiation",
    "AutoClusterId": "the schedd's own, at the next negotiation",
    "ClusterId": "another submission",
    "CondorPlatform": "where the bindings, and where condor_submit was built",
    "CondormapSubmission": "condormap's own, by which it finds a submission again",
    "EnteredCurrentStatus": "a time",
    "GlobalJobId": "made from the cluster's id",
    "JobMaterializeDate": "a time",
    "JobSubmitMethod": "0 for condor_submit, 2 for the Python bindings",
    "LastRejMatchNegotiator": "the negotiator's, when it comes by",
    "LastRejMatchReason": "the negotiator's, when it comes by",
    "LastRejMatchTime": "the negotiator's, when it comes by",
    "QDate": "a time",
    "ServerTime": "a time",
    "SubmitVersion": "the version of the bindings, and of condor_submit",
    "TotalSubmitProcs": "the schedd sets it a moment after the submit",
}


class Refused(Exception):
    """condor_submit does not take the file."""


class Judge:
    """Submits by condormap and by condor_submit, from one folder, and removes what it has submitted."""

    def __init__(self, pool: PersonalPool, folder: Path) -> None:
        bindings = version_key(importlib.metadata.version("htcondor"))
        if bindings[:2] != version_key(pool.daemons.version)[:2]:
            pytest.skip(f"condor_submit is {pool.daemons.version}, and has other defaults than the bindings")
        self.condor: Condor = connect(pool.address)
        self.folder = folder
        self._bin = pool.daemons.bin
        self._environment = os.environ | {
            "CONDOR_CONFIG": str(pool.config_file),
            "_CONDOR_SUBMIT_PREVENT_MULTI_QUEUE": "false",
        }

    def ours(self, block: Block) -> list[Ad]:
        """Return the ads of a block as condormap submits it; the block has to submit on hold."""
        submitted = self.condor.submit_block(
            block.text, folder=self.folder, submission_id=secrets.token_hex(8), n_jobs=block.n_jobs or 1
        )
        return self._ads(submitted.cluster)

    def theirs(self, path: str | Path, *options: str) -> list[Ad]:
        """Return the ads of a file as condor_submit submits it, on hold."""
        run = self.run("condor_submit", "-terse", "-append", "hold = true", *options, str(path))
        if run.returncode:
            raise Refused(run.stderr)
        (cluster,) = {int(job.partition(".")[0]) for job in run.stdout.split() if job != "-"}
        return self._ads(cluster)

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of HTCondor's programs in the folder."""
        command = [str(self._bin / program), *arguments]
        return subprocess.run(
            command, cwd=self.folder, env=self._environment, text=True, capture_output=True, timeout=60
        )

    def wait_until_gone(self, cluster: int) -> None:
        """Wait until all jobs of a cluster have left the queue."""
        deadline = time.monotonic() + 60
        while self.condor.query(f"ClusterId == {cluster}", ["ProcId"]):
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def _ads(self, cluster: int) -> list[Ad]:
        deadline = time.monotonic() + 30
        ads = self.condor.query_text(f"ClusterId == {cluster}")
        while len(ads) < _expected(ads) and time.monotonic() < deadline:
            time.sleep(0.05)
            ads = self.condor.query_text(f"ClusterId == {cluster}")
        self.condor.act("remove", jobs=[str(cluster)])
        return sorted(ads, key=lambda ad: int(ad["ProcId"]))


def _expected(ads: list[Ad]) -> int:
    """Return how many jobs a factory will make if none of them runs; 0 for other clusters."""
    if not ads:
        return 1
    limits = (ads[0].get("JobMaterializeLimit", "0"), ads[0].get("JobMaterializeMaxIdle", "1000"))
    return min(map(int, limits))


def differences(ours: list[Ad], theirs: list[Ad], *explained: str) -> list[str]:
    """Return what differs and is not explained, for people."""
    left_out = {name.lower() for name in (*EXPLAINED, *explained)}
    found = []
    if len(ours) != len(theirs):
        found.append(f"{len(ours)} jobs, and condor_submit makes {len(theirs)}")
    for proc, (our, their) in enumerate(zip(ours, theirs, strict=False)):
        our, their = ({name.lower(): value for name, value in ad.items()} for ad in (our, their))
        for name in sorted((our.keys() | their.keys()) - left_out):
            if not _same(our.get(name, ""), our["clusterid"], their.get(name, ""), their["clusterid"]):
                found.append(f"{proc}: {name}: {our.get(name)} and condor_submit {their.get(name)}")
    return found


def _same(our: str, our_cluster: str, their: str, their_cluster: str) -> bool:
    """Tell whether two values are the same, but for the number of the cluster where that stands in them."""
    ours, theirs = re.split(r"(\d+)", our), re.split(r"(\d+)", their)
    return len(ours) == len(theirs) and all(
        a == b or (a, b) == (our_cluster, their_cluster) for a, b in zip(ours, theirs, strict=True)
    )
