"""A submission is added whole, under the map's lock, and HTCondor gets it exactly once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from condormap import PersonalPool, condormap, load
from condormap.address import PoolAddress
from condormap.condor import Condor, connect
from condormap.folders import store
from condormap.folders.locks import locked
from condormap.handle import CondorMap
from condormap.in_job.payload import chunk_items, read_chunks
from condormap.options import JobOptions
from condormap.payload.transfer import Transfer
from condormap.preparing import write_submissions
from condormap.submission import Submission, load_submission
from condormap.submitting import add_submissions

ADDRESS = PoolAddress(None, "cm.lab.example", "submit.lab.example")
SHARED = Transfer(False, "a test")


def write(folder: Path, chunks: list[range], **more: Any) -> Submission:
    record = store.new_record("id", "fit", 7, False, "f", ADDRESS)
    options = JobOptions(cpus=2)
    (made,) = write_submissions(folder, folder, record, chunks, options, slots=1, transfer=SHARED, **more)
    return made


def test_a_submission_s_folder_has_what_its_jobs_need(tmp_path: Path) -> None:
    submission = write(tmp_path, [range(2), range(2, 5)])
    folder = submission.folder
    assert folder == tmp_path / "submissions" / "0"
    assert read_chunks(folder) == [range(2), range(2, 5)]
    spec = json.loads((folder / "spec.json").read_bytes())
    assert spec == {"items": "../..", "star": False, "reduce": None, "retries": 0, "item_timeout": None}
    assert submission.options.cpus == 2
    assert (folder / "outcomes" / "0").is_dir()
    assert (folder / "stdio" / "0").is_dir()
    assert f"{folder}/spec.json" in (folder / "submit.sub").read_text()


def test_a_submission_may_be_of_items_from_all_over_the_map(tmp_path: Path) -> None:
    submission = write(tmp_path, [range(2), range(2, 3)], selection=[1, 4, 6])
    assert [list(chunk_items(submission.folder, chunk)) for chunk in (0, 1)] == [[1, 4], [6]]
    assert list(submission.items(0)) == [1, 4]


def test_submissions_are_numbered_in_order(tmp_path: Path) -> None:
    made = [write(tmp_path, [range(1)]).folder for _ in range(11)]
    assert store.submission_folders(tmp_path) == made
    assert [path.name for path in made] == [str(n) for n in range(11)]


@pytest.fixture(scope="module")
def m(pool: PersonalPool) -> CondorMap:
    m = condormap(lambda x: x * x, range(5), pool=pool, chunksize=5)
    m.results()
    return m


def test_a_submission_is_added_to_a_map(m: CondorMap, pool: PersonalPool) -> None:
    with locked(m.path) as lock:
        (submission,) = add_submissions(
            m.path,
            store.read_record(m.path),
            [range(2)],
            JobOptions(),
            connect(pool.address),
            lock=lock,
            slots=1,
            transfer=SHARED,
        )
    assert load_submission(submission.folder) == submission
    assert submission.cluster not in (None, m.jobs[0].id)
    assert len(load(m.tag).jobs) <= 2


def clusters(condor: Condor, submission: Submission) -> set[int]:
    constraint = f'CondormapSubmission == "{submission.id}"'
    return {
        ad["ClusterId"]
        for ad in [
            *condor.query(constraint, ["ClusterId"], cluster_ads=True),  # before its job is made, too
            *condor.history(constraint, ["ClusterId"]),
        ]
    }


def test_what_was_submitted_and_not_noted_is_found_again(m: CondorMap, pool: PersonalPool) -> None:
    (folder, *_) = store.submission_folders(m.path)
    before = load_submission(folder)
    (folder / "cluster.json").unlink()
    assert load(m.tag).results() == [0, 1, 4, 9, 16]
    assert load_submission(folder) == before
    assert clusters(connect(pool.address), before) == {before.cluster}


def test_what_was_never_submitted_is_submitted(pool: PersonalPool) -> None:
    m = condormap(abs, [], pool=pool)
    with locked(m.path):
        (submission,) = write_submissions(
            m.path,
            m.path,
            store.read_record(m.path),
            [range(0)],
            JobOptions(),
            slots=1,
            transfer=SHARED,
        )
    load(m.tag)
    after = load_submission(submission.folder)
    assert after.cluster is not None
    assert clusters(connect(pool.address), after) == {after.cluster}
