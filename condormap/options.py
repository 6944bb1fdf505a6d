"""What a job asks for, and the submit commands that say so."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from . import more_memory
from .errors import InvalidInputError
from .payload import extra_files

_UNITS = {"": 1.0, "k": 1 / 1024, "m": 1.0, "g": 1024.0, "t": 1024.0**2}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?\s*", re.IGNORECASE)
_COMMAND = re.compile(r"(?:[+]|my\.)?[a-z_][a-z0-9_]*", re.IGNORECASE)
_PATH = (str, os.PathLike)
_TEXT = (*_PATH, int, float)  # what is written as text
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_INTEGERS: Mapping[str, int | None] = {  # option -> its least value
    "cpus": 1,
    "gpus": 0,
    "priority": None,
    "retries": 0,
    "max_failures": 1,
}

# What condormap sets itself; a job would not run, or not be found again, with another value.
RESERVED = frozenset(
    "arguments args dagman_log environment environment2 error executable initialdir initial_dir input iwd job_iwd "
    "log log_xml materialize_max_idle max_idle max_materialize output output_destination preserve_relative_paths "
    "queue remote_initialdir shell should_transfer_files stderr stdin stdout submit_event_user_notes "
    "transfer_executable transfer_input_files transfer_output_files transfer_output_remaps universe "
    "when_to_transfer_output "
    "+condormapchunk +condormapmap +condormapsubmission "
    "my.condormapchunk my.condormapmap my.condormapsubmission".split()
)


def megabytes(size: int | float | str, what: str) -> int:
    """Return a size in MB (2**20 bytes), as HTCondor counts memory.

    Parameters
    ----------
    size : int, float or str
        A number of MB, or a number with a unit: ``"512MB"``, ``"2GB"``, ``"1.5 G"``.
    what : str
        The option's name, for the message.

    Raises
    ------
    InvalidInputError
        It is neither, or not positive.
    """
    match = _SIZE.fullmatch(size) if isinstance(size, str) else None
    if match:
        value = float(match[1]) * _UNITS[match[2].lower()] if match[2] else float(match[1])
    elif isinstance(size, int | float) and not isinstance(size, bool):
        value = float(size)
    else:
        raise InvalidInputError(f'{what} must be a number of MB or a size such as "2GB", not {size!r}')
    if not 0 < value < 2**40:
        raise InvalidInputError(f"{what} must be more than 0, not {size!r}")
    return max(1, -int(-value // 1))  # rounded up: a job never gets less than was asked for


def _seconds(name: str, value: Any) -> float:
    """Return a positive number of seconds."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise InvalidInputError(f"{name} must be a number of seconds more than 0, not {value!r}")
    return float(value)


@dataclass(frozen=True, kw_only=True)
class JobOptions:
    """What each job of a map asks for.

    Parameters
    ----------
    cpus : int
        Cores.
    memory : int or str
        MB, or a size with its unit: ``"2GB"``.
    disk : int, str or None
        Likewise; None leaves it to HTCondor.
    gpus : int
        GPUs.
    requirements : str or None
        A ClassAd expression that a slot must fulfil.
    priority : int
        Among the jobs of the same user: the larger, the sooner.
    environment : mapping of str to str
        Environment variables for the job, beside the few that it always gets.
    batch_name : str or None
        What ``condor_q`` shows; None for the map's tag.
    accounting_group : str or None
        The group that the usage is charged to.
    submit : mapping of str to str
        Any other submit command, as in a submit file.
    retries : int
        How often an item whose process died is tried again in its job, and how often a job that died is run
        again. What it had finished is kept.
    retry_memory : int, str or None
        A job that HTCondor holds because it used more memory than it asked for is tried again with twice as much
        and so on, up to this size.
    item_timeout : float or None
        Seconds that an item may take. Then its process is killed, whatever it does, and it fails with an
        `ItemTimeoutError`; the job goes on with the next item. Loading the function does not count.
    max_failures : int or None
        When so many items have failed, whoever waits for the map removes its other jobs and raises
        `TooManyFailuresError`. With fewer, ``results()`` raises the first error when the other items are settled.
        A loop over the map raises an item's error at once, and its body decides.
    transfer : {"auto", "always", "never"}
        Whether HTCondor sends the jobs their files, or they see the map's folder, as on a shared file system.
        ``"auto"`` goes by what the pool's machines say of theirs.
    files : sequence of path
        Extra input files and folders. A job finds each in its current folder: one that was given by a relative
        path by that path (``data/a.txt``), another by its name. See `condormap.payload.extra_files`.
    python : path or None
        The Python interpreter that the jobs run; None for this very one.

    Raises
    ------
    InvalidInputError
        A value that no job could be submitted with.
    """

    cpus: int = 1
    memory: int | str = "1GB"
    disk: int | str | None = None
    gpus: int = 0
    requirements: str | None = None
    priority: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)
    batch_name: str | None = None
    accounting_group: str | None = None
    submit: Mapping[str, str] = field(default_factory=dict)
    retries: int = 0
    retry_memory: int | str | None = None
    item_timeout: float | None = None
    max_failures: int | None = None
    transfer: str = "auto"
    files: Sequence[str] = ()
    python: str | None = None

    def __post_init__(self) -> None:
        for name, least in _INTEGERS.items():
            value = getattr(self, name)
            if value is None and name == "max_failures":
                continue
            if (
                isinstance(value, bool)
                or not hasattr(value, "__index__")
                or (least is not None and value < least)
            ):
                at_least = "" if least is None else f" of {least} or more"
                raise InvalidInputError(f"{name} must be an integer{at_least}, not {value!r}")
            object.__setattr__(self, name, value.__index__())  # numpy's integers too
        if self.item_timeout is not None:
            object.__setattr__(self, "item_timeout", _seconds("item_timeout", self.item_timeout))
        if self.transfer not in ("auto", "always", "never"):
            raise InvalidInputError(f'transfer must be "auto", "always" or "never", not {self.transfer!r}')
        object.__setattr__(self, "files", extra_files.anchored(self.files))
        if self.python is not None:
            python = one_line("python", os.fspath(self.python)) if isinstance(self.python, _PATH) else ""
            if not os.path.isabs(python):
                raise InvalidInputError(
                    f"python must be the whole path of an interpreter (/usr/bin/python3), not {self.python!r}"
                )
            object.__setattr__(self, "python", python)
        for name in ("environment", "submit"):
            if not isinstance(getattr(self, name), Mapping):
                raise InvalidInputError(
                    f"{name} must be a mapping, not a {type(getattr(self, name)).__name__}"
                )
        for name, value in self.environment.items():
            if not isinstance(name, str) or not _VARIABLE.fullmatch(name):
                raise InvalidInputError(f"{name!r} is no name for an environment variable")
            if not isinstance(value, _TEXT):
                raise InvalidInputError(
                    f"environment: {name} must be text, a number or a path, not {value!r}"
                )
        for command, value in self.submit.items():
            if not isinstance(command, str) or not _COMMAND.fullmatch(command):
                raise InvalidInputError(f"{command!r} is no submit command")
            if command.lower() in RESERVED:
                raise InvalidInputError(f"condormap sets the submit command {command!r} itself")
            if not isinstance(value, _TEXT):
                raise InvalidInputError(f"submit: {command} must be text, a number or a path, not {value!r}")
            one_line(command, value)
        if self.retry_memory_mb is not None and self.retry_memory_mb <= self.memory_mb:
            raise InvalidInputError(
                f"retry_memory must be more than memory ({self.memory_mb} MB), not {self.retry_memory!r}"
            )
        own = {command.lower() for command in self.submit}
        for option, command in self._commands_of_options():
            if command in own:
                raise InvalidInputError(f"{option}= sets the submit command {command!r}: give either of them")
        self.commands()  # refuses what is wrong with the rest

    def _commands_of_options(self) -> list[tuple[str, str]]:
        """Return the submit commands that options which are set stand for, and that would undo each other."""
        pairs = [("retries", "max_retries"), ("retries", "on_exit_remove"), ("retries", "retry_until")]
        pairs += [("retry_memory", "request_memory"), ("retry_memory", "periodic_release")]
        return [(option, command) for option, command in pairs if getattr(self, option)]

    @property
    def memory_mb(self) -> int:
        """The memory in MB."""
        return megabytes(self.memory, "memory")

    @property
    def retry_memory_mb(self) -> int | None:
        """The largest memory in MB that a job is tried again with."""
        return None if self.retry_memory is None else megabytes(self.retry_memory, "retry_memory")

    @property
    def request_memory(self) -> str:
        """The memory in MB as HTCondor evaluates it: more with each hold, where it is to be tried again."""
        cap = self.retry_memory_mb
        return str(self.memory_mb) if cap is None else more_memory.request(self.memory_mb, cap)

    @property
    def disk_mb(self) -> int:
        """The disk in MB; 0 where that is left to HTCondor."""
        return 0 if self.disk is None else megabytes(self.disk, "disk")

    def as_record(self) -> dict[str, Any]:
        """Return the options as JSON values."""
        record = dict(vars(self))
        for name in ("environment", "submit"):
            record[name] = {key: str(value) for key, value in getattr(self, name).items()}
        for name in ("requirements", "batch_name", "accounting_group"):
            record[name] = None if record[name] is None else str(record[name])
        return record

    def commands(self) -> dict[str, str]:
        """Return the submit commands: name -> value."""
        commands = {"request_cpus": str(self.cpus), "request_memory": self.request_memory}
        if self.disk is not None:
            commands["request_disk"] = str(self.disk_mb * 1024)  # in KB
        if self.gpus:
            commands["request_gpus"] = str(self.gpus)
        if self.priority:
            commands["priority"] = str(self.priority)
        if self.retries:
            commands["max_retries"] = str(self.retries)
        if (cap := self.retry_memory_mb) is not None:
            commands["periodic_release"] = more_memory.periodic_release(self.memory_mb, cap)
        for name in ("requirements", "batch_name", "accounting_group"):
            value = getattr(self, name)
            if value is not None:
                commands[name] = one_line(name, value)
        commands.update({name: str(value) for name, value in self.submit.items()})
        return commands


_NAMES = {field.name for field in fields(JobOptions)}


def make_options(
    values: Mapping[str, Any], base: JobOptions | None = None, *, others: Iterable[str] = ()
) -> JobOptions:
    """Return job options, or say which one is unknown.

    Parameters
    ----------
    values : mapping
        Name -> value.
    base : JobOptions, optional
        The values of the others; HTCondor's and ours by default.
    others : iterable of str
        What the caller takes besides, for the message.
    """
    for name in values.keys() - _NAMES:
        known = sorted(_NAMES.union(others) - {"options"})
        close = difflib.get_close_matches(name, known)
        hint = f"did you mean {close[0]}=?" if close else f"there are: {', '.join(known)}"
        raise InvalidInputError(f"condormap has no option {name}=; {hint}")
    return replace(base, **values) if base else JobOptions(**values)


def one_line(name: str, value: Any) -> str:
    """Return a value that stays on its line of a submit file: a newline would start another command."""
    text = str(value)
    if not text.isprintable() or text.rstrip().endswith("\\"):
        raise InvalidInputError(f"{name} must be one line of printable text, not {text!r}")
    return text


def quote(words: Mapping[str, str] | list[str]) -> str:
    """Return arguments (a list) or an environment (a mapping) in HTCondor's quoted syntax.

    Raises
    ------
    InvalidInputError
        A word contains a newline or another character that a submit file cannot carry.
    """
    if isinstance(words, Mapping):
        words = [f"{name}={value}" for name, value in words.items()]
    quoted = []
    for word in words:
        if "\n" in word or "\r" in word or "\0" in word:
            raise InvalidInputError(f"{word!r} cannot be passed to a job: it contains a line break")
        text = word.replace("'", "''").replace('"', '""')
        # Two dollar signs are HTCondor's own when the job is matched, one is the submit language's.
        text = "$$(DOLLARDOLLAR)".join(escape(part) for part in text.split("$$"))
        quoted.append(f"'{text}'" if not word or re.search(r"[\s']", word) else text)
    return '"' + " ".join(quoted) + '"'


def escape(text: str) -> str:
    """Return `text` such that the submit language takes its dollar signs literally."""
    return text.replace("$", "$(DOLLAR)")
