"""Expressions and values on their way between plain data and HTCondor's bindings, in the child."""

from __future__ import annotations

import re
from typing import Any

import classad2
from classad2 import ClassAdException


class Refusal(Exception):
    """The call ended here and not in HTCondor; `kind` is the ending."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


def expression(text: str, what: str) -> Any:
    """Return a text as an expression; a Refusal where it is none, or more than one."""
    try:
        classad2.ExprTree(f"({text})")  # the parentheses refuse "1; Other = 2"
        return classad2.ExprTree(text)
    except ClassAdException:
        raise Refusal("invalid", f"{what} is not a ClassAd expression: {text}") from None


def as_of_old(name: str, expression: str) -> str:
    """Return the value of an attribute in the syntax of old, which the schedd reads.

    The new syntax has escapes for a backslash and, in octal, for each byte that is not ASCII. In the strings of
    the old one a backslash is just that, and other bytes stand as they are; so none of them can end in a
    backslash, but for one at the end of the line.
    """

    def unescaped(match: re.Match[bytes]) -> bytes:
        return bytes([int(match[1], 8)]) if match[1] else b"\\"

    old = re.sub(rb"\\([0-7]{3})|\\\\", unescaped, expression.encode()).decode(errors="replace")
    ad = classad2.parseOne(f"{name} = {old}\n", classad2.ParserType.Old)
    if name not in ad or " ".join(str(ad.lookup(name)).split("\n")) != expression:
        raise Refusal(
            "invalid",
            f"HTCondor's schedd cannot read {expression} as the value of {name}: a text in it"
            " that ends in a backslash has to be the whole value",
        )
    return old


def plain(ad: Any) -> dict[str, Any]:
    """Return an ad as plain data."""
    return {name: _attribute(ad, name) for name in ad}


def _attribute(ad: Any, name: str) -> Any:
    try:
        return _value(ad[name])
    except UnicodeDecodeError as error:  # a path in another encoding, say
        return error.object.decode(errors="replace")


def _value(value: Any) -> Any:
    if value is classad2.Value.Undefined:
        return None
    if isinstance(value, classad2.Value):  # an int, so it must come before
        return "error"
    if isinstance(value, (str, int, float)):
        return value
    if isinstance(value, classad2.ClassAd):
        return plain(value)
    if isinstance(value, list):
        return [_value(each) for each in value]
    return str(value)
