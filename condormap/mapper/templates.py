"""Templates of arguments and names: text with fields, ``-n {0} --mass={mass:.3f}``, filled in for each item.

Fields are those of `str.format`: by place, by name, with attributes, elements, conversions and formats. A path is
filled in as the name that its file has in the job.
"""

from __future__ import annotations

import dataclasses
import os
import shlex
import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from ..errors import InvalidInputError

_MARK = "\ufdd0"  # no character: stands for a field while its template is split into words


@dataclass(frozen=True)
class Template:
    """A text with fields.

    Parameters
    ----------
    text : str
        As for `str.format`, with each field named or numbered.
    source : str
        What the user wrote, for messages: ``argtmpl='-n {}'``.
    field : str or None
        The one field, where the text is nothing else.
    """

    text: str
    source: str
    field: str | None = None


def parse(text: object, option: str) -> Template:
    """Return the template that a text is.

    Raises
    ------
    InvalidInputError
        It is no text, or its braces do not fit.
    """
    return _of_parts(list(_parts(text, option)), f"{option}={text!r}")


def parse_words(text: object, option: str) -> list[Template]:
    """Return the templates of the arguments: the words of a text, as a shell splits it, or the texts of a list.

    A field is one word, or a part of one, whatever is filled in.
    """
    if isinstance(text, Sequence) and not isinstance(text, str | bytes):
        return [parse(each, option) for each in text]
    source = f"{option}={text!r}"
    parts = list(_parts(text, option))
    fields = [part for part in parts if isinstance(part, tuple)]
    marked = "".join(part if isinstance(part, str) else _MARK for part in parts)
    try:
        words = shlex.split(marked)
    except ValueError as error:
        raise InvalidInputError(f"{source}: {error}. Nothing was submitted") from None
    found, rest = [], iter(fields)
    for word in words:
        literals = word.split(_MARK)
        pieces: list[Any] = [literals[0]]
        for literal in literals[1:]:
            pieces += [next(rest), literal]
        found.append(_of_parts(pieces, source))
    return found


def _parts(text: object, option: str) -> Iterator[str | tuple[str, str]]:
    """Yield the literal parts of a text and its fields: the name, and the rest of what is in braces."""
    if not isinstance(text, str):
        raise InvalidInputError(f"{option} must be text, not {text!r}. Nothing was submitted")
    if _MARK in text:
        raise InvalidInputError(
            f"{option}={text!r} has a character that is none (U+FDD0). Nothing was submitted"
        )
    n_unnamed = 0
    try:
        for literal, name, spec, conversion in string.Formatter().parse(text):
            if literal:
                yield literal
            if name is None:
                continue
            if not name or name[0] in ".[":
                name = f"{n_unnamed}{name}"
                n_unnamed += 1
            yield name, (f"!{conversion}" if conversion else "") + (f":{spec}" if spec else "")
    except ValueError as error:
        raise InvalidInputError(
            f"{option}={text!r}: {error}. A brace that is no field's is written twice: {{{{ and }}}}. "
            "Nothing was submitted"
        ) from None


def _of_parts(parts: Sequence[str | tuple[str, str]], source: str) -> Template:
    texts = [
        part.replace("{", "{{").replace("}", "}}") if isinstance(part, str) else f"{{{part[0]}{part[1]}}}"
        for part in parts
    ]
    only = [part for part in parts if part]
    alone = len(only) == 1 and isinstance(only[0], tuple) and not only[0][1]
    return Template("".join(texts), source, only[0][0] if alone else None)


def elements(item: Any) -> tuple[Any, ...]:
    """Return the fields by place: the elements of a tuple, a list or a row of an array; else the item itself."""
    if isinstance(item, tuple | list):
        return tuple(item)
    if len(getattr(item, "shape", ())) == 1 and hasattr(item, "tolist"):
        return tuple(item.tolist())
    if _columns(item):
        return tuple(item.item())
    return () if isinstance(item, Mapping) else (item,)


def _columns(item: Any) -> tuple[str, ...]:
    """Return the names of the fields of a row of a structured array of NumPy's."""
    return getattr(getattr(item, "dtype", None), "names", None) or ()


def names_of_fields(item: Any) -> list[str]:
    """Return the names of the fields of a dict or a dataclass."""
    if isinstance(item, Mapping):
        return [str(name) for name in item]
    is_one = dataclasses.is_dataclass(item) and not isinstance(item, type)
    return [field.name for field in dataclasses.fields(item)] if is_one else []


def has_no_text(value: Any) -> bool:
    """Tell whether nobody means the text of a value: a container's, or that of an object which has none."""
    of: Any = type(value)
    if names_of_fields(value) or isinstance(value, tuple | list | set | frozenset | Mapping):
        return True
    return callable(value) or (of.__str__, of.__repr__) == (object.__str__, object.__repr__)


def values(item: Any) -> list[Any]:
    """Return what is in an item: itself, or its elements, values or fields."""
    if names := names_of_fields(item):
        return list(item.values()) if isinstance(item, Mapping) else [getattr(item, name) for name in names]
    return list(elements(item))


def paths(item: Any) -> Iterator[Path]:
    """Yield the paths in an item, however deep in lists, tuples and dicts."""
    for value in values(item):
        if isinstance(value, Path):
            yield value
        elif isinstance(value, list | tuple | Mapping) and value is not item:
            yield from paths(value)


class Fields(string.Formatter):
    """What is filled into templates for one item.

    Parameters
    ----------
    item : object
        The item.
    number : int
        Its index in the map, for messages, and the field ``index``.
    names : mapping of Path to str
        What the files of paths are called in the job.
    """

    def __init__(self, item: Any, number: int, names: Mapping[Path, str]) -> None:
        self.item = item
        self.number = number
        self.names = names
        self.more: dict[str, Any] = {"index": number}  # fields that an item need not have
        self._elements = elements(item)

    def fill(self, template: Template) -> str:
        """Return the text of a template.

        Raises
        ------
        InvalidInputError
            The item has not such a field, or it has not such a format.
        """
        try:
            return self.vformat(template.text, (), {})
        except Exception as error:
            told = str(error) if isinstance(error, InvalidInputError) else f"{type(error).__name__}: {error}"
            raise InvalidInputError(
                f"{template.source} does not fit item {self.number}, {_shown(self.item)}: {told}. "
                "Nothing was submitted"
            ) from None

    def fill_word(self, template: Template) -> list[str]:
        """Return the arguments of a template: its text; of a list that is alone in it, that of each element."""
        value = self.value(template)
        if not isinstance(value, list | tuple):
            return [self.fill(template)]
        return [
            self.fill(Template(f"{{{template.field}[{n}]}}", template.source, None))
            for n in range(len(value))
        ]

    def value(self, template: Template) -> Any:
        """Return the value of the one field of a template that is nothing else; else None."""
        if template.field is None:
            return None
        try:
            return self.get_field(template.field, (), {})[0]
        except Exception:
            return None  # `fill` tells

    def get_value(self, key: int | str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Return a field of the item."""
        item = self.item
        if isinstance(key, int):
            if key < len(self._elements):
                return self._elements[key]
            if isinstance(item, Mapping):
                raise InvalidInputError(f"its fields have names: {', '.join(f'{{{name}}}' for name in item)}")
            n = len(self._elements)
            raise InvalidInputError(
                f"it has {n} field{'s' * (n != 1)}, and none with the number {key}: each {{}} is the next one, "
                "and {0} is the first wherever it stands"
            )
        if (isinstance(item, Mapping) and key in item) or key in _columns(item):
            return item[key]
        if not isinstance(item, Mapping) and not callable(value := getattr(item, key, len)):
            return value  # and no method: a tuple has one that is called index
        if key in self.more:
            return self.more[key]
        if key == "out":
            raise InvalidInputError("there is no output file: outtmpl= names them")
        raise InvalidInputError(f"it has no field {key!r}")

    def format_field(self, value: Any, format_spec: str) -> str:
        """Return the text of a field; refuse a list or another container, which has none that is meant."""
        if isinstance(value, list | tuple | set | frozenset | Mapping):
            raise InvalidInputError(
                f"a {type(value).__name__} is no text, here {_shown(value)}: a field alone that is a list is one "
                "argument for each; {name[0]} and {name[key]} are one of it, {name!r} is its repr"
            )
        if isinstance(value, Path) and value in self.names:
            value = self.names[value]
        elif isinstance(value, PurePath):
            value = str(value)
        elif isinstance(value, bytes):
            value = os.fsdecode(value)
        return str(super().format_field(value, format_spec))


def _shown(item: Any) -> str:
    text = repr(item)
    return text if len(text) <= 80 else f"{text[:77]}..."
