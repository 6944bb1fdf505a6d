"""What other libraries do with a pool, each with the real library."""

from __future__ import annotations

import multiprocessing
import multiprocessing.pool
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Gate
from tqdm import tqdm

import condormap
from condormap import CondorExecutor, MapPool, PersonalPool, maps
from condormap.errors import JobRemovedError


@pytest.fixture(autouse=True)
def _configured(pool: PersonalPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONDOR_CONFIG", str(pool.config_file))


@pytest.fixture
def workers() -> Iterator[MapPool]:
    with MapPool() as workers:
        yield workers


# -- MapPool -------------------------------------------------------------------------------------------------


def test_a_map_pool_has_the_interface_of_multiprocessing() -> None:
    theirs = {name for name in dir(multiprocessing.pool.Pool) if not name.startswith("_")}
    assert theirs - set(dir(MapPool)) == {"Process"}
    results = {name for name in dir(multiprocessing.pool.AsyncResult) if not name.startswith("_")}
    assert results <= set(dir(condormap.integrations.process_pool.AsyncResult))


def test_map_and_starmap_return_lists_in_order(workers: MapPool) -> None:
    assert workers.map(lambda x: x * x, range(50)) == [x * x for x in range(50)]
    assert workers.starmap(pow, [(2, 3), (3, 2)], chunksize=1) == [8, 9]
    assert workers.map(abs, []) == []
    assert workers.apply(pow, (2,), {"exp": 5}) == 32


def test_a_map_of_short_calls_is_a_job_for_each_slot_once_that_is_known(workers: MapPool) -> None:
    n_jobs = [len(set(workers.map(job_of, range(16)))) for _ in range(2)]  # few, for a machine may be slow
    assert n_jobs == [8, 2]


def job_of(_: Any) -> int:
    return os.getppid()


def test_imap_gives_results_in_order_and_goes_on_after_an_error(workers: MapPool) -> None:
    results = workers.imap(lambda x: 6 // x, [1, 0, 3])
    assert next(results) == 6
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert list(results) == [2]
    assert sorted(tqdm(workers.imap_unordered(abs, [-1, -2, -3]), total=3, disable=True)) == [1, 2, 3]


@pytest.mark.parametrize("how", ["imap", "imap_unordered"])
def test_a_result_that_is_late_is_still_the_next(workers: MapPool, gate: Gate, how: str) -> None:
    results = getattr(workers, how)(gate.wait, [60.0])
    with pytest.raises(multiprocessing.TimeoutError):
        results.next(timeout=0.01)
    gate.open()
    assert list(results) == [None]


def test_a_pool_that_is_left_stops_what_runs(gate: Gate) -> None:
    with MapPool() as workers:
        runs = workers.apply_async(gate.wait)
        while not runs._futures[0].running():
            runs.wait(0.01)
    with pytest.raises(JobRemovedError):
        runs.get(0)


def test_async_results_wait_and_call_back(workers: MapPool, gate: Gate) -> None:
    seen: list[Any] = []
    slow = workers.apply_async(gate.wait)
    assert not slow.ready()
    with pytest.raises(TimeoutError):
        slow.get(timeout=0.1)
    with pytest.raises(ValueError, match="not ready"):
        slow.successful()
    mapped = workers.map_async(abs, [-1, -2], callback=seen.append)
    failed = workers.starmap_async(divmod, [(1, 0)], error_callback=seen.append)
    failed.wait(60)
    assert mapped.get(60) == [1, 2]
    assert failed.ready()
    assert not failed.successful()
    with pytest.raises(ZeroDivisionError):
        failed.get()
    gate.open()
    assert slow.get(60) is None
    assert slow.successful()
    assert {type(each) for each in seen} == {list, ZeroDivisionError}


def test_a_closed_pool_finishes_its_calls_and_takes_no_more() -> None:
    workers = MapPool()
    result = workers.apply_async(abs, (-1,))
    with pytest.raises(ValueError, match="still running"):
        workers.join()
    workers.close()
    workers.join()
    assert result.get() == 1
    with pytest.raises(ValueError, match="Pool not running"):
        workers.map(abs, [1])


def test_a_pool_knows_how_much_runs_at_once() -> None:
    with MapPool() as workers, MapPool(1) as one:
        assert (workers.size, one.size) == (2, 1)


# -- libraries -----------------------------------------------------------------------------------------------


def test_scipy_takes_map_as_workers() -> None:
    from scipy.optimize import differential_evolution

    before = {each.tag for each in maps()}
    found = differential_evolution(
        lambda x: float(np.sum((x - 1) ** 2)),
        [(-2, 2)],
        workers=condormap.map,
        updating="deferred",
        maxiter=2,
        popsize=6,
        polish=False,
        rng=1,
    )
    assert found.nit == 2
    assert abs(found.x[0] - 1) < 0.5
    assert {each.tag for each in maps()} == before


def test_an_eager_map_with_an_error_leaves_nothing_either() -> None:
    before = {each.tag for each in maps()}
    with pytest.raises(ZeroDivisionError):
        condormap.map(lambda x: 1 / x, [1, 0])
    assert {each.tag for each in maps()} == before


def test_emcee_samples_with_it() -> None:
    import emcee

    start = np.random.default_rng(1).normal(size=(4, 1))
    with MapPool(1) as workers:
        sampler = emcee.EnsembleSampler(4, 1, lambda x: -0.5 * float(x @ x), pool=workers)
        sampler.run_mcmc(start, 1)
    assert sampler.get_chain().shape == (1, 4, 1)


@pytest.mark.filterwarnings("ignore:The sampling was stopped short")
def test_dynesty_samples_with_it(workers: MapPool) -> None:
    import dynesty

    def likelihood(x: Any) -> float:
        return -0.5 * float(x @ x)

    sampler = dynesty.NestedSampler(
        likelihood, lambda u: 4 * u - 2, 2, nlive=6, pool=workers, rstate=np.random.default_rng(1)
    )
    assert sampler.queue_size == 2
    sampler.run_nested(maxiter=1, print_progress=False, add_live=False)
    assert sampler.results.niter == len(sampler.results.logl) > 0


def test_joblib_and_scikit_learn_take_the_backend() -> None:
    from joblib import Parallel, delayed, parallel_config
    from sklearn.model_selection import GridSearchCV
    from sklearn.tree import DecisionTreeClassifier

    from condormap.integrations.joblib import register

    register()
    x = np.random.default_rng(1).normal(size=(60, 3))
    search = GridSearchCV(DecisionTreeClassifier(random_state=1), {"max_depth": [1, 2]}, cv=2)
    with parallel_config("condormap", memory="500MB"):
        assert Parallel()(delayed(pow)(n, 2) for n in range(20)) == [n * n for n in range(20)]
        with pytest.raises(ZeroDivisionError):
            Parallel()(delayed(divmod)(1, n) for n in (1, 0))
        search.fit(x, x[:, 0] > 0)
    assert search.best_score_ > 0.9


def test_tasks_of_joblib_that_were_short_before_are_a_job_for_each_slot() -> None:
    from joblib import Parallel, delayed, parallel_config

    from condormap.integrations.joblib import register

    register()
    with parallel_config("condormap"):
        n_jobs = [len(set(Parallel()(delayed(job_of)(n) for n in range(8)))) for _ in range(2)]
    assert n_jobs == [4, 2]


def test_joblib_leaves_nothing_running_after_an_error(gate: Gate) -> None:
    from joblib import Parallel, delayed, parallel_config

    from condormap.integrations.joblib import register

    register()
    with parallel_config("condormap"), pytest.raises(multiprocessing.TimeoutError):
        Parallel(timeout=0.5)(delayed(gate.wait)() for _ in range(2))
    for thread in threading.enumerate():
        if thread.name.startswith("condormap-executor"):
            thread.join(30)
            assert not thread.is_alive()


def test_mdanalysis_takes_the_backend(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import MDAnalysis
        from MDAnalysis.analysis.base import AnalysisFromFunction

        from condormap.integrations.mdanalysis import CondorBackend

        path = tmp_path / "path.xyz"
        path.write_text("".join(f"2\nframe\nC 0 0 0\nC {n} 0 0\n" for n in range(8)))
        universe = MDAnalysis.Universe(str(path))
        analysis = AnalysisFromFunction(distance, universe.trajectory, universe.atoms)
        analysis.run(backend=CondorBackend(), unsupported_backend=True)
    assert analysis.results.timeseries.tolist() == list(range(8))


def distance(atoms: Any) -> float:
    first, second = atoms.positions
    return float(second[0] - first[0])


@pytest.mark.parametrize(("library", "module"), [("joblib", "joblib"), ("MDAnalysis", "mdanalysis")])
def test_a_missing_library_is_named_with_its_extra(library: str, module: str) -> None:
    code = f"import sys; sys.modules[{library!r}] = None; import condormap.integrations.{module}"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert f"pip install 'condormap[{module}]'" in run.stderr


# -- dask ----------------------------------------------------------------------------------------------------


def test_dask_computes_with_an_executor_as_scheduler() -> None:
    import dask
    import dask.array
    import dask.bag

    add = dask.delayed(lambda a, b: a + b)
    with CondorExecutor(chunksize=100) as executor:
        assert dask.compute(add(add(1, 2), 3), scheduler=executor) == (6,)
        assert dask.array.arange(100, chunks=50).sum().compute(scheduler=executor) == 4950
        with dask.config.set(scheduler=executor):
            assert dask.bag.range(10, npartitions=3).filter(lambda x: x % 2).compute() == [1, 3, 5, 7, 9]
        with pytest.raises(ZeroDivisionError):
            dask.delayed(lambda: 1 / 0)().compute(scheduler=executor)


@pytest.mark.parametrize("scheduler", ["threads", "processes"])
def test_dask_computes_with_an_executor_as_pool(scheduler: str) -> None:
    import dask
    import dask.bag

    with CondorExecutor(chunksize=3) as executor, dask.config.set(pool=executor, scheduler=scheduler):
        assert dask.bag.range(6, npartitions=3).map(lambda x: x * x).sum().compute() == 55
