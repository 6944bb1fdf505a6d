"""The items of a CondorMapper as tasks, which its jobs execute: see `condormap.in_job.command`.

Templates are filled in here, before anything is submitted, so a job needs neither the templates nor the types of
the items.
"""

from __future__ import annotations

import os
import pickle
import posixpath
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle

from ..errors import FileAsTextWarning, InvalidInputError, SerializationError
from ..folders.paths import absolute
from .templates import (
    Fields,
    Template,
    elements,
    has_no_text,
    names_of_fields,
    parse,
    parse_words,
    paths,
    values,
)

Task = dict[str, Any]

STDOUT = "stdout"  # the key of the output file that standard output is written to
_LONGEST_ARGUMENT = 131_071  # bytes, on Linux
_LONGEST_NAME = 255  # bytes
_REFUSED = "Nothing was submitted"


@dataclass(frozen=True, kw_only=True)
class Command:
    """What is executed for each item: the templates.

    Parameters
    ----------
    arguments : tuple of Template or None
        The arguments; None for the item, or each of its elements.
    outputs : dict of str to Template
        The names of the output files.
    by_key, single : bool
        They were given as a dict, or as one text.
    stdin : Template, bytes, Path, callable or None
        What it reads.
    stdout : Template or None
        The file that its standard output is written to.
    env : dict of str to Template
        Environment variables.
    taken : frozenset of str
        Names that files for every item have.
    """

    arguments: tuple[Template, ...] | None
    outputs: Mapping[str, Template]
    by_key: bool
    single: bool
    stdin: Template | bytes | Path | Callable[[Any], Any] | None
    stdout: Template | None
    env: Mapping[str, Template]
    taken: frozenset[str]


def make_command(
    argtmpl: Any, stdin: Any, stdout: Any, outtmpl: Any, env: Any, files: Iterable[str]
) -> Command:
    """Return the command that the options of `CondorMapper` mean.

    Raises
    ------
    InvalidInputError
        They mean nothing.
    """
    if isinstance(stdin, str):
        stdin = parse(stdin, "stdin")
    elif isinstance(stdin, Path):
        stdin = absolute(stdin)
    elif not (stdin is None or isinstance(stdin, bytes) or callable(stdin)):
        raise InvalidInputError(
            f"stdin must be text, bytes, a Path or a function of an item, not {stdin!r}. {_REFUSED}"
        )
    if not isinstance(env, Mapping) or not all(isinstance(name, str) and _is_variable(name) for name in env):
        raise InvalidInputError(
            f"env must be a mapping from names of variables to text, not {env!r}. {_REFUSED}"
        )
    by_key = isinstance(outtmpl, Mapping)
    if outtmpl is None:
        named: Mapping[Any, Any] = {}
    elif by_key:
        named = outtmpl
    else:
        texts = [outtmpl] if isinstance(outtmpl, str) else outtmpl
        if not isinstance(texts, Sequence) or isinstance(texts, bytes):
            raise InvalidInputError(
                f"outtmpl must be text, a list or a dict of it, not {outtmpl!r}. {_REFUSED}"
            )
        named = {str(number): text for number, text in enumerate(texts)}
    if not all(isinstance(key, str) for key in named) or (stdout is not None and STDOUT in named):
        raise InvalidInputError(f"outtmpl: {outtmpl!r} has a key that cannot be one. {_REFUSED}")
    return Command(
        arguments=None if argtmpl is None else tuple(parse_words(argtmpl, "argtmpl")),
        outputs={key: parse(text, "outtmpl") for key, text in named.items()},
        by_key=by_key,
        single=isinstance(outtmpl, str),
        stdin=stdin,
        stdout=None if stdout is None else parse(stdout, "stdout"),
        env={
            name: parse(text if isinstance(text, str) else str(text), f"env: {name}")
            for name, text in env.items()
        },
        taken=frozenset(name.partition("/")[0] for name in files),
    )


def _is_variable(name: str) -> bool:
    return bool(name) and "=" not in name and "\0" not in name


class OutputNames:
    """The names of all output files of a map: each is a file of its own."""

    def __init__(self) -> None:
        self._files: dict[str, int] = {}
        self._folders: dict[str, int] = {}

    def add(self, names: Iterable[str], item: int) -> None:
        """Take note of the names of an item's output files.

        Raises
        ------
        InvalidInputError
            Another one has such a name, or is a folder where this is a file.
        """
        for name in names:
            parts = name.split("/")
            folders = ["/".join(parts[:n]) for n in range(1, len(parts))]
            for clash in (self._files.get(name), self._folders.get(name), *map(self._files.get, folders)):
                if clash is not None:
                    raise InvalidInputError(
                        f"outtmpl: the output files of the items {clash} and {item} would both be {name}, and one "
                        "replace the other. Give each a name of its own, with {index} if there is no other. "
                        f"{_REFUSED}"
                    )
            self._files[name] = item
            self._folders.update(dict.fromkeys(folders, item))


def make_tasks(command: Command, items: Iterable[Any], names: OutputNames, first: int = 0) -> Iterator[Task]:
    """Yield the task of each item.

    Parameters
    ----------
    command : Command
        The templates.
    items : iterable
        The items.
    names : OutputNames
        The names that are taken; those of these items are added.
    first : int
        The index of the first item in the map.

    Raises
    ------
    InvalidInputError
        A template does not fit an item, an input file is not there, two output files have one name...

    Warns with a `FileAsTextWarning` where the first item names a file in text.
    """
    for number, item in enumerate(items, first):
        if number == 0:
            _warn_of_names(command, item)
        task = _task(command, item, number)
        names.add(task["outputs"].values(), number)
        yield task


def _task(command: Command, item: Any, number: int) -> Task:
    here = [*paths(item)]
    stdin: Any = command.stdin
    if callable(stdin):
        try:
            stdin = stdin(item)
        except Exception as error:
            error.add_note(f"condormap: raised by the function stdin= for item {number}. {_REFUSED}")
            raise
    if isinstance(stdin, Path):
        here.append(stdin)
    known = {path: os.path.basename(os.path.normpath(absolute(path))) for path in here}
    fields = Fields(item, number, known)
    outputs = {key: _output_name(fields.fill(each), each) for key, each in command.outputs.items()}
    if command.stdout is not None:
        outputs[STDOUT] = _output_name(fields.fill(command.stdout), command.stdout)
    for name in outputs.values():
        if (top := name.partition("/")[0]) in command.taken:  # it may be a link to the user's own
            raise InvalidInputError(
                f"outtmpl: the output file {name} of item {number} would replace {top}, which files= has, or lie "
                f"in it. {_REFUSED}"
            )
    taken = {*command.taken, *(name.partition("/")[0] for name in outputs.values())}
    inputs = _named(here, taken, number)
    known |= {path: inputs[path][0] for path in here}
    declared = {key: outputs[key] for key in command.outputs}
    shown = declared if command.by_key else list(declared.values())
    if shown:
        fields.more["out"] = shown[0] if command.single else shown  # type: ignore[index]
    if isinstance(stdin, Template):
        value = fields.value(stdin)
        stdin = value if isinstance(value, Path | bytes) else fields.fill(stdin)
    return {
        "item": number,
        "args": _arguments(command, fields, item, number),
        "inputs": list(inputs.values()),
        "outputs": _keyed(outputs, command, number),
        "stdin": _stdin(stdin, inputs, number),
        "stdout": None if command.stdout is None else STDOUT,
        "env": {name: fields.fill(each) for name, each in command.env.items()},
        "input": _pickled(item, number),
    }


def _warn_of_names(command: Command, item: Any) -> None:
    """Warn of text that is the name of a file: all items will fail that were meant as files."""
    for value in values(item):
        if not isinstance(value, str) or os.path.isabs(value) or value.partition("/")[0] in command.taken:
            continue
        if os.path.isfile(value):
            warnings.warn(
                f"item 0: {value!r} is a file here, but given as text. An item runs in a folder of its own, and "
                f"finds there what is given as a Path: Path({value!r})",
                FileAsTextWarning,
                stacklevel=2,
            )


def _named(here: Iterable[Path], taken: set[str], number: int) -> dict[Path, tuple[str, str]]:
    """Return for each path the name of its file in the job, and where it is: no two have one name."""
    found: dict[Path, tuple[str, str]] = {}
    for path in here:
        if path in found:
            continue
        where = os.path.normpath(absolute(path))
        if not os.access(where, os.R_OK):
            why = "you may not read" if os.path.exists(where) else "there is no"
            raise InvalidInputError(
                f"item {number}: {why} {where}. A Path is an input file, which is sent to the job; what is only "
                f"to be named is text: str(path). {_REFUSED}"
            )
        name = os.path.basename(where)
        if not name:
            raise InvalidInputError(
                f"item {number}: {where} cannot be an input file: it has no name. {_REFUSED}"
            )
        n, top = 1, name
        while top in taken:
            n += 1
            top = str(n)
        taken.add(top)
        found[path] = (name if top == name else f"{top}/{name}", where)
    return found


def _output_name(name: str, template: Template) -> str:
    """Return the name of an output file, or refuse it."""
    normal = posixpath.normpath(name) if name else ""
    parts = normal.split("/")
    if normal in ("", ".") or parts[0] in ("", "..") or not name.isprintable() or name.endswith("/"):
        raise InvalidInputError(
            f"{template.source}: {name!r} is the name of no file in the job's folder: it must be relative, and "
            f"stay in it. {_REFUSED}"
        )
    if max(len(os.fsencode(part)) for part in parts) > _LONGEST_NAME:
        raise InvalidInputError(
            f"{template.source}: the name {name[:40]!r}... is too long for a file. {_REFUSED}"
        )
    return normal


def _arguments(command: Command, fields: Fields, item: Any, number: int) -> list[str]:
    if command.arguments is not None:
        arguments = [text for word in command.arguments for text in fields.fill_word(word)]
    else:
        fields_by_place = elements(item)
        if not fields_by_place or any(map(has_no_text, fields_by_place)):
            names = " ".join(f"{{{name}}}" for name in names_of_fields(item)) or "{}"
            raise InvalidInputError(
                f"item {number}, a {type(item).__name__}, is no text for an argument: argtmpl= says where its "
                f"fields go, as in argtmpl='{names}'. {_REFUSED}"
            )
        arguments = [fields.format_field(value, "") for value in fields_by_place]
    for argument in arguments:
        if "\0" in argument:
            raise InvalidInputError(
                f"item {number}: the argument {argument[:40]!r} has a null character. {_REFUSED}"
            )
        if len(os.fsencode(argument)) > _LONGEST_ARGUMENT:
            raise InvalidInputError(
                f"item {number}: an argument of {len(argument)} characters is longer than a program can get: send "
                f"it as stdin=, or in a file. {_REFUSED}"
            )
    return arguments


def _keyed(outputs: Mapping[str, str], command: Command, number: int) -> dict[str, str]:
    """Return the names of the output files by the keys that an outcome has them by."""
    if len({*outputs.values()}) < len(outputs):
        raise InvalidInputError(
            f"item {number} has two output files of one name: {', '.join(outputs.values())}. {_REFUSED}"
        )
    if command.by_key:
        return dict(outputs)
    return {key if key == STDOUT else name: name for key, name in outputs.items()}


def _stdin(stdin: Any, inputs: Mapping[Path, tuple[str, str]], number: int) -> bytes | int | None:
    if isinstance(stdin, Path):
        if stdin.is_dir():
            raise InvalidInputError(f"item {number}: stdin= is a folder: {stdin}. {_REFUSED}")
        return list(inputs).index(stdin)
    if stdin is None or isinstance(stdin, bytes):
        return stdin
    if isinstance(stdin, str):
        return stdin.encode(errors="surrogateescape")
    raise InvalidInputError(f"item {number}: stdin must be text, bytes or a Path, not {stdin!r}. {_REFUSED}")


def _pickled(item: Any, number: int) -> bytes:
    """Return the pickle of an item: the job never reads it."""
    try:
        try:
            return pickle.dumps(item, 5)
        except Exception:
            return bytes(cloudpickle.dumps(item, 5))
    except Exception as error:
        raise SerializationError(
            f"item {number}, a {type(item).__qualname__}, cannot be pickled: {type(error).__name__}: {error}. "
            f"{_REFUSED}"
        ) from error
