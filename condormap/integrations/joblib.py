"""A backend for joblib, and so for scikit-learn: ``parallel_config("condormap")``."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any

from ..executor.executor import CondorExecutor
from ..executor.pace import Pace, kind_of

try:
    from joblib.parallel import ParallelBackendBase, SequentialBackend, register_parallel_backend
except ImportError as error:
    raise ImportError("joblib is not installed: pip install 'condormap[joblib]'") from error

# Half of the tasks, then the rest: more rounds would be smaller jobs, and each job imports scikit-learn. One round
# where such tasks were shorter before than these imports.
_ROUNDS = 2
_DEFAULT_PRE_DISPATCH = "2*n_jobs"  # joblib's own, without its spaces


def register() -> None:
    """Make the backend known to joblib as ``"condormap"``.

    ``parallel_config("condormap", memory="2GB")`` takes the options of `CondorExecutor`; `n_jobs` is by default
    how many jobs the pool runs at once. All tasks are submitted at once, and share jobs as the calls of an
    executor do, unless the caller gives a ``pre_dispatch`` of its own.
    """
    register_parallel_backend("condormap", CondorBackend)


class _Executor(CondorExecutor):
    """Knows how long tasks took in uses of Parallel before."""

    _pace = Pace()


def _kind_of(batch: Callable[[], Any]) -> Hashable:
    """Return what batches of joblib have in common that may take equally long: function, types and shapes."""
    items = getattr(batch, "items", None)
    if not items:
        return kind_of(batch)
    function, args, _ = items[0]
    shapes = (getattr(each, "shape", None) for each in args)
    return (
        kind_of(getattr(function, "function", function)),  # scikit-learn wraps it
        len(items),
        *map(type, args),
        *(shape if isinstance(shape, tuple) else None for shape in shapes),
    )


class CondorBackend(ParallelBackendBase):  # type: ignore[misc]
    """joblib's tasks as calls of a `CondorExecutor`, which lives as long as one use of Parallel."""

    default_n_jobs = -1
    supports_retrieve_callback = True
    supports_inner_max_num_threads = False
    supports_sharedmem = False
    uses_threads = False

    def __init__(self, nesting_level: int | None = None, **options: Any) -> None:
        super().__init__(nesting_level=nesting_level)
        self._options = options
        self._executor: CondorExecutor | None = None

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """Return how many tasks run at once; at least 2, for with 1 joblib would not ask the pool at all."""
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if n_jobs is not None and n_jobs > 0:
            return max(2, n_jobs)
        return max(2, self._started().slots)

    def configure(self, n_jobs: int = 1, parallel: Any = None, **_: Any) -> int:
        """Begin a use of Parallel; return how many tasks run at once."""
        self.parallel = parallel
        if str(parallel.pre_dispatch).replace(" ", "") == _DEFAULT_PRE_DISPATCH:
            parallel.pre_dispatch = "all"
        self._started()
        return self.effective_n_jobs(n_jobs)

    def _started(self) -> CondorExecutor:
        if self._executor is None:
            self._executor = _Executor(**self._options)
        return self._executor

    def submit(self, func: Callable[[], Any], callback: Callable[[Any], object] | None = None) -> Future[Any]:
        """Submit a batch of tasks."""
        executor = self._started()
        future = executor._submit(func, (), {}, executor._chunksize, _ROUNDS, _kind_of(func))
        if callback is not None:
            future.add_done_callback(callback)
        return future

    def retrieve_result_callback(self, out: Future[Any]) -> Any:
        """Return the results of a batch, or raise its error."""
        return out.result()

    def terminate(self) -> None:
        """End a use of Parallel."""
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.terminate_workers()  # nobody wants what still runs
            executor.shutdown()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Cancel what has not begun, and remove the jobs of the rest."""
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.terminate_workers()
        if ensure_ready:
            self._started()

    def get_nested_backend(self) -> tuple[Any, None]:
        """Let what a task runs in parallel run in turn, for a job has the cpus that it asked for."""
        return SequentialBackend(nesting_level=(self.nesting_level or 0) + 1), None
