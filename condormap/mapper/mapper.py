"""CondorMapper: an executable over a dataset. A map like any other, whose function runs the executable."""

from __future__ import annotations

import os
import pickle
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from .. import timings
from ..address import PoolAddress
from ..capacity import jobs_at_once
from ..errors import CommandError, InvalidInputError, UnsubmittedJobError
from ..folders.locks import locked
from ..folders.store import storage_errors
from ..folders.tags import NewMap
from ..handle import CondorMap
from ..in_job.outcome import Outcome
from ..in_job.room import OUTPUTS
from ..making import Content, Request, make_map
from ..options import JobOptions, make_options
from ..payload import extra_files
from ..payload.item_files import check_item_files
from ..payload.item_store import unpickle_items, write_items, zipped
from ..payload.transfer import Transfer, decide
from ..plan import Plan, plan_of, room_for
from ..pool.personal import PersonalPool
from ..status import ItemState
from ..steering import changed_options
from ..submitting import add_submissions
from ..waiting import Waiter
from .arguments import exit_codes, function_or_none, new_log, number_of, output_folder
from .by_hand import run_here, shell_line
from .described import Described, make_outputs, read_described, read_draft, write_draft, write_folders
from .executable import check, find
from .tasks import OutputNames, Task, make_command, make_tasks

_REFUSED = "Nothing was submitted"


class CondorMapper(CondorMap):
    r"""Run an executable for every item of a dataset on an HTCondor pool; this is the handle, submitted at once.

    The handle is that of a map: `CondorMap` says what it can. The result of an item is its `Outcome`.

    Parameters
    ----------
    executable : path
        A script or a binary: a file, or the name of a program in PATH.
    *iterables : iterable
        The items, as for `condormap`. Each `Path` that is an item, or an element, value or field of one, is an
        input file, which the executable finds in its folder.
    argtmpl : str, sequence of str, or None
        The arguments, with fields as of `str.format`: ``"-n {0} --mass={mass}"``. Text is split as by a shell,
        before the fields are filled in. None: the item, or each of its elements, is an argument.
    stdin : str, bytes, Path, callable or None
        What it reads: a template of text, or, where a field alone is a Path, that file; a file for all items; or
        what a function makes of the item.
    outtmpl : str, sequence or mapping of str, or None
        Templates of the names of the output files that it writes in its folder; ``{out}`` is the name in `argtmpl`
        (``{out[0]}``, ``{out[key]}`` of several).
    stdout : str or None
        The template of the name of an output file with what it prints.
    outdir : path or None
        The folder of the output files; None for one in the map's.
    keep_outputs : bool
        False: the output files stay in the job, for `read` and a reducer, and are gone when the next item runs.
    env : mapping of str to str
        Environment variables, with fields.
    success : int or collection of int
        The exit codes that are no failure.
    read : callable or None
        Called in the job with the item's outcome: what it returns is the item's result instead.
    log : path or None
        The event log, a new file, or the folder for it.
    submit : bool or mapping of str to str
        False holds back until the method `submit` is called. A mapping are submit commands, see `JobOptions`.
    chunksize, max_jobs, target_runtime, reduce, keep, until, on_complete, strict, with_input
        As for `condormap`.
    tag, pool, schedd, progress
        As for `condormap`.
    **options
        What each job asks for: `condormap.options.JobOptions`.

    Raises
    ------
    ExecutableError
        No job could execute it.
    InvalidInputError
        A template does not fit an item, an input file is not there, two output files would have one name...
        Nothing was submitted.
    CondorError
        As for `condormap`.

    Examples
    --------
    >>> from condormap import CondorMapper
    >>> m = CondorMapper("echo", ["a", "b"], argtmpl="item {}")
    >>> [outcome.stdout for outcome in m]
    ['item a\n', 'item b\n']
    """

    def __init__(
        self,
        executable: str | os.PathLike[str],
        /,
        *iterables: Iterable[Any],
        argtmpl: str | Sequence[str] | None = None,
        stdin: str | bytes | Path | Callable[[Any], Any] | None = None,
        outtmpl: str | Sequence[str] | Mapping[str, str] | None = None,
        stdout: str | None = None,
        outdir: str | os.PathLike[str] | None = None,
        keep_outputs: bool = True,
        env: Mapping[str, str] | None = None,
        success: int | Collection[int] = 0,
        read: Callable[[Outcome], Any] | None = None,
        log: str | os.PathLike[str] | None = None,
        submit: bool | Mapping[str, str] = True,
        chunksize: int | str = "auto",
        max_jobs: int | None = None,
        target_runtime: float | None = None,
        reduce: Any = None,
        keep: bool = False,
        until: Callable[[Any], object] | None = None,
        on_complete: Callable[[list[Any]], Any] | None = None,
        strict: bool = False,
        with_input: bool = False,
        tag: str | None = None,
        pool: PersonalPool | PoolAddress | str | None = None,
        schedd: str | None = None,
        progress: bool | None = None,
        **options: Any,
    ) -> None:
        if isinstance(submit, Mapping):
            options["submit"] = submit
        if "dry_run" in options:
            raise InvalidInputError(
                f"CondorMapper has no dry_run=: give submit=False, and m.plan() tells. {_REFUSED}"
            )
        job_options = make_options(options, others=CondorMapper.__init__.__kwdefaults__ or ())
        request = Request(
            chunksize=chunksize,
            max_jobs=max_jobs,
            target_runtime=target_runtime,
            reduce=reduce,
            keep=keep,
            until=until,
            on_complete=on_complete,
            with_input=with_input,
            tag=tag,
            pool=pool,
            schedd=schedd,
            progress=progress,
            options=job_options,
        )
        files = [extra_files.name_of(file) for file in job_options.files]
        described = Described(
            find(executable),
            make_command(argtmpl, stdin, stdout, outtmpl, env or {}, files),
            number_of(iterables),
            exit_codes(success),
            function_or_none("read", read),
            bool(keep_outputs),
        )
        folder = output_folder(outdir, described.command, keep_outputs)

        def content(new: NewMap, transfer: Transfer) -> Content:
            check(described.executable, here=not transfer.sent)
            with storage_errors(new.final):
                write_folders(new.folder, described)
                if submit is False:
                    write_draft(new.folder, request)
            tasks = make_tasks(described.command, zipped(iterables, strict=strict), OutputNames())

            def write(into: Path) -> int:
                n_items = write_items(into, [tasks])
                with storage_errors(new.final):
                    make_outputs(into, folder)
                return n_items

            return Content(
                function=described.in_job(new.final, folder or new.final / OUTPUTS), write_items=write
            )

        made = make_map(request, content, executes=True, log=new_log(log), submit=submit is not False)
        assert isinstance(made, Path)
        super().__init__(made, with_input=with_input, progress=progress)

    @classmethod
    def at(cls, folder: Path, *, with_input: bool = False, progress: bool | None = None) -> Self:
        """Return the handle of the map in a folder; `load` does."""
        mapper = cls.__new__(cls)
        CondorMap.__init__(mapper, folder, with_input=with_input, progress=progress)
        return mapper

    # -- submitting ------------------------------------------------------------------------------------------

    @property
    def submitted(self) -> bool:
        """Whether its jobs were submitted."""
        self._state.look_for_submissions()
        return bool(self._state.submissions) or not len(self._state.ledger)

    def submit(self, **options: Any) -> Self:
        """Submit what ``submit=False`` has held back; return the map.

        Parameters
        ----------
        **options
            What the jobs ask for; the others are as they were given first.

        Raises
        ------
        InvalidInputError
            It was submitted already, or the executable or an input file is no longer what it was.
        CondorError
            The pool could not be reached, or refused the jobs.
        """
        with locked(self.path) as lock:
            if self.submitted:
                raise InvalidInputError(f"the map {self.tag!r} was submitted already")
            request = read_draft(self.path)
            asked = changed_options(request.options, options)
            seconds = timings.known(self._record.function_id)
            slots, transfer = jobs_at_once(self._condor, asked), decide(self._condor, asked)
            check_item_files(self.path, range(len(self)))
            check(read_described(self.path).executable, here=not transfer.sent)
            chunks = request.chunks(len(self), slots=slots, seconds=seconds)
            (submission,) = add_submissions(
                self.path,
                self._record,
                chunks,
                asked,
                self._condor,
                lock=lock,
                slots=slots,
                transfer=transfer,
            )
        self._state.note(submission)
        return self

    def _check_submitted(self) -> None:
        if not self.submitted:
            raise UnsubmittedJobError(f"the map {self.tag!r} was not submitted yet: m.submit() does it")

    def _waiter(self) -> Waiter:
        self._check_submitted()
        return super()._waiter()

    @property
    def status(self) -> Counter[ItemState]:
        """How many items are in each state, now."""
        return super().status if self.submitted else Counter({ItemState.IDLE: len(self)})

    def plan(self) -> Plan:
        """Return what is still to be done and what stands in the way."""
        if self.submitted:
            return super().plan()
        request = read_draft(self.path)
        at_once, problems = room_for(self._condor, request.options)
        seconds = timings.known(self._record.function_id)
        chunks = request.chunks(len(self), slots=at_once, seconds=seconds)
        return plan_of(
            self.path, self._record, chunks, self._condor, request.options, at_once, problems, seconds
        )

    def retry(
        self, items: Iterable[int] | None = None, *, chunksize: int | str = "auto", **options: Any
    ) -> Self:
        """Run items again, as `CondorMap.retry`; the executable is taken as it is now."""
        self._check_submitted()
        check(read_described(self.path).executable, here=not self._state.submissions[-1].sent)
        super().retry(items, chunksize=chunksize, **options)
        return self

    def extend(
        self,
        *iterables: Iterable[Any],
        chunksize: int | str = "auto",
        strict: bool = False,
        **options: Any,
    ) -> Self:
        """Add items to the map, as `CondorMap.extend`."""
        self._check_submitted()
        described = read_described(self.path)
        if len(iterables) != described.n_iterables:
            raise InvalidInputError(
                f"extend: the map was made of {described.n_iterables} iterables, not {len(iterables)}. {_REFUSED}"
            )
        check(described.executable, here=not self._state.submissions[-1].sent)

        def tasks() -> Iterator[Task]:  # begins when the map is locked
            names, first = OutputNames(), len(self._state.ledger)
            for task in unpickle_items(self.path, range(first)):
                names.add(task["outputs"].values(), task["item"])
            yield from make_tasks(described.command, zipped(iterables, strict=strict), names, first)

        super().extend(tasks(), chunksize=chunksize, **options)
        return self

    # -- what was executed -----------------------------------------------------------------------------------

    @property
    def outdir(self) -> Path:
        """The folder of the output files."""
        return (self.path / OUTPUTS).resolve()

    def stdout(self, index: int) -> str:
        """Return what the executable has printed for an item; of one that is not over, what its job has."""
        outcome = self._outcome(index)
        return super().stdout(index) if outcome is None else outcome.stdout

    def stderr(self, index: int) -> str:
        """Return what the executable wrote to standard error, as `stdout` does."""
        outcome = self._outcome(index)
        return super().stderr(index) if outcome is None else outcome.stderr

    def debug(self, index: int, *, pdb: bool = False) -> Any:
        """Run the executable here for an item, as its job does; return its result, or raise its error.

        Its output files stay in the folder ``debug`` of the map's.

        Raises
        ------
        CommandError
            It failed.
        """
        if pdb:
            raise InvalidInputError(
                "pdb= is for functions of Python: m.command_line(i) is what a shell runs for item i"
            )
        task, described = self._task(index), read_described(self.path)
        return run_here(described, task, self.path, self._options().files)

    def command_line(self, index: int) -> str:
        """Return what a shell runs for an item as its job does, in a new folder, with links to its input files."""
        return shell_line(read_described(self.path), self._task(index), self._options().files)

    def _outcome(self, index: int) -> Outcome | None:
        """Return what became of an item; None where that is not known (yet), or was only read or merged."""
        item = self._item_of(index)
        self._state.poll()
        if self._state.ledger.is_open(item):
            return None
        error = self._results.error(item)
        if isinstance(error, CommandError):
            return error.outcome
        if error is not None or not self._results.kept:
            return None
        value = self._state.outcomes.value(item)
        return value if isinstance(value, Outcome) else None

    def _task(self, index: int) -> Task:
        (task,) = unpickle_items(self.path, (self._item_of(index),))
        found: Task = task
        return found

    def _inputs(self, items: Iterable[int]) -> Iterator[Any]:
        for task in super()._inputs(items):
            yield pickle.loads(task["input"])

    def _options(self) -> JobOptions:
        return self._steering.options if self._state.submissions else read_draft(self.path).options
