"""What became of an executable for one item. Travels into the job; standard library only."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Any

    # A path here, and the same file's path where the map was submitted; empty where it does not get there.
    Located = tuple[str, str]
    Printed = bytes | Located

_ALIKE = ("command", "exit_code", "stdout", "stderr", "outputs")
_FIELDS = ("command", "exit_code", "seconds", "_stdout", "_stderr", "_outputs")
_SHOWN = 60  # characters of what was printed, in a repr


class Outcome:
    """What became of the executable for one item; it is also the path of its one output file, for `open`.

    Attributes
    ----------
    command : tuple of str
        The executable and its arguments.
    exit_code : int
        Its exit code; negative: the number of the signal that killed it.
    seconds : float
        How long it ran.
    stdout, stderr : str
        What it printed. More than a megabyte is in a file, and is read when it is asked for.
    outputs : dict of str to Path
        Its output files: by the name that ``outtmpl=`` gives them, else by their own.
    output : Path
        Its output file, where it has just one.
    """

    __slots__ = ("_outputs", "_stderr", "_stdout", "command", "exit_code", "seconds")
    command: tuple[str, ...]
    exit_code: int
    seconds: float
    _stdout: Printed
    _stderr: Printed
    _outputs: dict[str, Located]

    def __init__(
        self,
        command: Sequence[str],
        exit_code: int,
        seconds: float,
        stdout: Printed,
        stderr: Printed,
        outputs: Mapping[str, Located],
    ) -> None:
        values = (tuple(command), exit_code, seconds, stdout, stderr, dict(outputs))
        for name, value in zip(_FIELDS, values):  # noqa: B905  # Python 3.9 has no strict=
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"an outcome stays as it is: {name} cannot be set")

    @property
    def stdout(self) -> str:
        """What it wrote to standard output."""
        return _text(self._stdout)

    @property
    def stderr(self) -> str:
        """What it wrote to standard error."""
        return _text(self._stderr)

    @property
    def outputs(self) -> dict[str, Path]:
        """The output files."""
        from pathlib import Path

        return {key: Path(here) for key, (here, _) in self._outputs.items()}

    @property
    def output(self) -> Path:
        """The one output file."""
        outputs = self.outputs
        if len(outputs) != 1:
            raise ValueError(f"{self!r} has {len(outputs)} output files, not one: see its .outputs")
        return next(iter(outputs.values()))

    def __fspath__(self) -> str:
        return str(self.output)

    def __repr__(self) -> str:
        how = f"exit code {self.exit_code}" if self.exit_code >= 0 else f"signal {-self.exit_code}"
        printed = self._stdout if isinstance(self._stdout, bytes) else b""
        first, _, more = printed.strip().partition(b"\n")
        parts = [how]
        if first or not isinstance(self._stdout, bytes):
            text = first.decode(errors="replace")
            parts.append(repr(f"{text[:60]}..." if more or len(text) > 60 or not first else text))
        parts += [os.path.basename(here) for here, _ in self._outputs.values()]
        command = " ".join(self.command)
        return f"<Outcome of {command[:80]}{'...' * (len(command) > 80)}: {', '.join(parts)}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Outcome):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in _ALIKE)

    __hash__ = None  # type: ignore[assignment]  # as a list: it has a dict

    def plain(self) -> tuple[Any, ...]:
        """Return the arguments that make this outcome where the map was submitted."""
        outputs = {key: (home, home) for key, (_, home) in self._outputs.items() if home}
        printed = (_at_home(each) for each in (self._stdout, self._stderr))
        return (self.command, self.exit_code, self.seconds, *printed, outputs)

    def __reduce__(self) -> tuple[Any, ...]:
        return _AtHome("Outcome") if __name__.startswith("condormap_job.") else Outcome, self.plain()


class _AtHome:
    """Becomes, where condormap is installed, something of this module: jobs have it by another name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, *_: Any) -> None:
        """Be something that can be called, as pickle demands."""

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (_Module(), self._name)


class _Module:
    def __reduce__(self) -> tuple[Any, ...]:
        import importlib

        return importlib.import_module, ("condormap.in_job.outcome",)


def _at_home(printed: Printed) -> Printed:
    """Return what was printed as it is found where the map was submitted."""
    if isinstance(printed, bytes):
        return printed
    return (printed[1], printed[1]) if printed[1] else b""


def _text(printed: Printed) -> str:
    if isinstance(printed, bytes):
        return printed.decode(errors="replace")
    with open(printed[0], "rb") as file:
        return file.read().decode(errors="replace")
