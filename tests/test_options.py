"""What a job asks for: sizes, submit commands, quoting, and what is refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from condormap.errors import InvalidInputError
from condormap.options import RESERVED, JobOptions, escape, megabytes, quote

# -- sizes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "mb"),
    [
        (1, 1),
        (2048, 2048),
        (0.2, 1),
        (1.5, 2),
        ("512", 512),
        ("512MB", 512),
        ("512 mb", 512),
        ("2G", 2048),
        ("2GB", 2048),
        ("2 GiB", 2048),
        ("1.5 g", 1536),
        ("1TB", 1024**2),
        ("1KB", 1),
        ("1025K", 2),
    ],
)
def test_sizes(size: int | float | str, mb: int) -> None:
    assert megabytes(size, "memory") == mb


@given(st.floats(min_value=0.001, max_value=1e9))
def test_a_job_never_gets_less_memory_than_was_asked_for(size: float) -> None:
    assert size <= megabytes(size, "memory") < size + 1.001


@pytest.mark.parametrize(
    "size", ["much", "2 giraffes", "-1GB", "", "1e3", "GB", "1 2", None, True, [1], b"1GB"]
)
def test_what_is_no_size_is_refused(size: Any) -> None:
    with pytest.raises(
        InvalidInputError, match=r'memory must be a number of MB or a size such as "2GB", not '
    ):
        megabytes(size, "memory")


@pytest.mark.parametrize("size", [0, -1, -0.5, "0", "0GB", float("nan"), float("inf"), "99999999TB"])
def test_a_size_that_no_machine_has_is_refused(size: Any) -> None:
    with pytest.raises(InvalidInputError, match="disk must be more than 0"):
        megabytes(size, "disk")


# -- commands --------------------------------------------------------------------------------------------------


def test_the_defaults_ask_for_one_core_and_a_gigabyte() -> None:
    assert JobOptions().commands() == {"request_cpus": "1", "request_memory": "1024"}


def test_every_option_becomes_its_submit_command() -> None:
    options = JobOptions(
        cpus=2,
        memory="2GB",
        disk="3GB",
        gpus=1,
        priority=-5,
        requirements='Arch == "X86_64"',
        batch_name="fit",
        accounting_group="physics.alice",
        submit={"+Project": '"lhc"', "nice_user": "true"},
    )
    assert options.commands() == {
        "request_cpus": "2",
        "request_memory": "2048",
        "request_disk": str(3 * 1024**2),
        "request_gpus": "1",
        "priority": "-5",
        "requirements": 'Arch == "X86_64"',
        "batch_name": "fit",
        "accounting_group": "physics.alice",
        "+Project": '"lhc"',
        "nice_user": "true",
    }


def test_options_come_back_from_their_record() -> None:
    options = JobOptions(memory="2GB", environment={"A": "b"}, submit={"+X": "1", "nice_user": True})  # type: ignore[dict-item]
    record = json.loads(json.dumps(options.as_record()))
    assert JobOptions(**record).commands() == options.commands()


def test_the_record_takes_values_that_json_does_not_know() -> None:
    options = JobOptions(submit={"container_image": Path("/images/x.sif")})  # type: ignore[dict-item]
    assert json.loads(json.dumps(options.as_record()))["submit"] == {"container_image": "/images/x.sif"}


def test_options_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        JobOptions().cpus = 2  # type: ignore[misc]


# -- refusals --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"cpus": 0}, "cpus must be an integer of 1 or more, not 0"),
        ({"cpus": 1.5}, "cpus must be an integer of 1 or more, not 1.5"),
        ({"cpus": True}, "cpus must be an integer"),
        ({"cpus": "2"}, "cpus must be an integer"),
        ({"gpus": -1}, "gpus must be an integer of 0 or more, not -1"),
        ({"priority": 0.5}, "priority must be an integer"),
        ({"memory": "lots"}, "memory must be a number of MB"),
        ({"disk": -1}, "disk must be more than 0"),
        ({"item_timeout": 0}, "item_timeout must be a number of seconds more than 0, not 0"),
        ({"item_timeout": "1h"}, "item_timeout must be a number of seconds"),
        ({"item_timeout": float("nan")}, "item_timeout must be a number of seconds"),
        ({"environment": ["A=b"]}, "environment must be a mapping, not a list"),
        ({"environment": {"A B": "c"}}, "'A B' is no name for an environment variable"),
        ({"environment": {1: "c"}}, "1 is no name for an environment variable"),
        ({"submit": "nice_user = true"}, "submit must be a mapping, not a str"),
        ({"submit": {"nice user": "true"}}, "'nice user' is no submit command"),
        ({"submit": {"x\nqueue": "1"}}, "is no submit command"),
        ({"submit": {"queue 5\n#": "1"}}, "is no submit command"),
    ],
)
def test_wrong_values_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        JobOptions(**wrong)


@pytest.mark.parametrize("name", ["requirements", "batch_name", "accounting_group"])
@pytest.mark.parametrize(
    "text", ["true\nqueue 5", "true\rqueue 5", "true\x00", "true \\", "true\\  ", "a\u2028b"]
)
def test_a_value_cannot_leave_its_line_of_the_submit_file(name: str, text: str) -> None:
    with pytest.raises(InvalidInputError, match=f"{name} must be one line of printable text"):
        JobOptions(**{name: text})


@pytest.mark.parametrize("text", ["1\nqueue 5", "1 \\"])
def test_a_value_of_submit_cannot_leave_its_line(text: str) -> None:
    with pytest.raises(InvalidInputError, match=r"\+X must be one line of printable text"):
        JobOptions(submit={"+X": text})


@pytest.mark.parametrize("command", sorted(RESERVED))
@pytest.mark.parametrize("change", [str.lower, str.upper, str.title])
def test_what_condormap_sets_itself_cannot_be_set(command: str, change: Any) -> None:
    with pytest.raises(InvalidInputError, match="condormap sets the submit command"):
        JobOptions(submit={change(command): "1"})


# -- quoting: how HTCondor reads it is shown by a job, in test_map_input.py ------------------------------------


def test_words_are_quoted_where_they_must_be() -> None:
    assert quote(["a", "b c", "", "it's", 'say "hi"', "$(HOME)"]) == (
        "\"a 'b c' '' 'it''s' 'say \"\"hi\"\"' $(DOLLAR)(HOME)\""
    )


def test_an_environment_is_quoted_as_words() -> None:
    assert quote({"A": "1", "B": "x y"}) == "\"A=1 'B=x y'\""


@pytest.mark.parametrize("word", ["a\nb", "a\r", "\0"])
def test_a_word_with_a_line_break_is_refused(word: str) -> None:
    with pytest.raises(InvalidInputError, match="cannot be passed to a job: it contains a line break"):
        quote([word])


@given(st.text())
def test_no_dollar_sign_is_left_to_expand(text: str) -> None:
    assert escape(text).replace("$(DOLLAR)", "") == text.replace("$", "")


def test_two_dollar_signs_are_kept_from_the_match_too() -> None:
    assert quote(["$$(Cpus)", "$$$"]) == '"$$(DOLLARDOLLAR)(Cpus) $$(DOLLARDOLLAR)$(DOLLAR)"'
