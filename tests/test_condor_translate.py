"""HTCondor's messages, as 25.14 gives them, and the errors that they become."""
# ruff: noqa: E501 - the messages are as they are

from __future__ import annotations

import pytest

from condormap import errors
from condormap.condor import translate

LOST = "Connection closed during command authorization. Probably due to an unknown command."
BUSY = (
    "This service is running, but did not respond in a reasonable time. It may be overloaded. Please try again in a"
    " few minutes.  If the problem persists, contact your administrator."
)
DENIED = (
    'SECMAN:2010:Received "DENIED" from server for user nobody@127-0-0-1.local using method FS.  Check your ALLOW'
    " settings and IP protocols."
)
AT = "11/22/26 06:28:17 "

MESSAGES: list[tuple[str, str, type[errors.CondorError]]] = [
    # message of the exception, standard error, error
    (
        "Failed to connect to schedd, errmsg=CEDAR:6001:Failed to connect to <127.0.0.1:1>",
        "",
        errors.UnreachableError,
    ),
    (
        "Failed to fetch ads from schedd, errmsg=CEDAR:6001:Failed to connect to <127.0.0.1:1>",
        "",
        errors.UnreachableError,
    ),
    ("Failed to connect to <127.0.0.1:1>", "", errors.UnreachableError),
    (
        "Error when performing action on the schedd.",
        AT + "attempt to connect to <127.0.0.1:1> failed: Connection refused (connect errno = 111).",
        errors.UnreachableError,
    ),
    (
        "Failed to connect to schedd.",
        AT + "Can't connect to queue manager: CEDAR:6001:Failed to connect to <127.0.0.1:1>",
        errors.UnreachableError,
    ),
    ("Unable to connect to the remote daemon.", "", errors.UnreachableError),
    ("Failed communication with collector.", "", errors.UnreachableError),
    ("Failed to start command.", "", errors.UnreachableError),
    ("Unable to determine collector host.", "", errors.UnreachableError),
    ("Failed to fetch ads from schedd, errmsg=SECMAN:2007:" + BUSY, "", errors.UnreachableError),
    ("Failed to connect to schedd, errmsg=SECMAN:2011:" + LOST, "", errors.UnreachableError),
    (LOST, "", errors.UnreachableError),
    (
        "Error when performing action on the schedd.",
        AT + "ERROR: SECMAN:2011:" + LOST,
        errors.UnreachableError,
    ),
    (
        "Unable to locate local daemon.",
        AT + "attempt to connect to <127.0.0.1:1> failed: Connection refused (connect errno = 111).",
        errors.UnreachableError,
    ),
    ("Unable to locate local daemon.", "", errors.UnreachableError),
    (
        "Failed to connect to schedd, errmsg=SECMAN:2005:Protocol Error: No auth methods.",
        "",
        errors.NotAuthorizedError,
    ),
    ("Protocol Error: No auth methods.", "", errors.NotAuthorizedError),
    (
        "Failed to connect to schedd.",
        AT + "Can't connect to queue manager: SECMAN:2005:Protocol Error: No auth methods.",
        errors.NotAuthorizedError,
    ),
    (
        "Error when performing action on the schedd.",
        AT + "SECMAN: no auth method!, failing.",
        errors.NotAuthorizedError,
    ),
    (
        "Failed communication with collector.",
        AT + "ERROR: SECMAN:2005:Protocol Error: No auth methods.",
        errors.NotAuthorizedError,
    ),
    (
        "Failed to start command.",
        AT + "ERROR: SECMAN:2002:Configuration Problem: The security policy is invalid.",
        errors.NotAuthorizedError,
    ),
    ("Configuration Problem: The security policy is invalid.", "", errors.NotAuthorizedError),
    ("Failed to fetch ads from schedd, errmsg=" + DENIED, "", errors.NotAuthorizedError),
    (
        "Failed to connect to schedd.",
        AT + "Can't connect to queue manager: AUTHENTICATE:1003:Failed to authenticate with any method",
        errors.NotAuthorizedError,
    ),
    (
        "Unable to commit transaction:Attempt to edit immutable attribute Owner in job 15.0",
        "",
        errors.RefusedError,
    ),
    (
        "Unable to commit transaction:Modifying attribute Foo in nonexistent job 9999.0",
        "",
        errors.RefusedError,
    ),
    (
        "Failed to create job ad, errmsg=Submit:-1:No 'executable' parameter was provided",
        "",
        errors.RefusedError,
    ),
    (
        "Failed to create job ad, errmsg=Submit:-1:No such directory: /connect/timeout",
        "",
        errors.RefusedError,
    ),
    ("Can't find address of credd here.local", "", errors.RefusedError),
    ("a message of a later version", "", errors.RefusedError),
]


@pytest.mark.parametrize(("message", "log", "kind"), MESSAGES)
def test_a_message_of_the_bindings_becomes_the_error_that_it_means(message, log, kind):
    assert translate.classify(message, log) is kind


def test_an_error_says_what_happened_to_what_and_why_and_what_to_do():
    error = translate.error(
        "condor",
        "Error when performing action on the schedd.",
        AT + "attempt to connect to <127.0.0.1:1> failed: Connection refused (connect errno = 111).\n",
        call="act",
        where="the schedd (CONDOR_CONFIG is set)",
    )
    assert str(error) == (
        "act: the schedd (CONDOR_CONFIG is set) cannot be reached, or was lost: Error when performing action on the"
        " schedd; attempt to connect to <127.0.0.1:1> failed: Connection refused (connect errno = 111). What to do:"
        " see whether the daemon runs (`condormap doctor`), then call again"
    )


@pytest.mark.parametrize(
    ("kind", "call", "expected"),
    [
        ("condor", "query", errors.RefusedError),
        ("condor", "submit", errors.SubmitRefusedError),
        ("uncertain", "submit", errors.SubmitRefusedError),
        ("invalid", "query", errors.InvalidInputError),
        ("invalid", "submit", errors.SubmitRefusedError),
        ("unknown", "query", errors.UnknownScheddError),
        ("which", "query", errors.UnknownScheddError),
        ("visit", "submit", errors.NotAuthorizedError),
        ("file", "events", errors.StorageError),
        ("missing", "query", errors.CondorError),
        ("bug", "query", errors.CondorError),
    ],
)
def test_every_way_in_which_a_call_ends_has_its_error(kind, call, expected):
    assert type(translate.error(kind, "a reason", "", call=call, where="the schedd")) is expected


def test_a_credential_that_must_be_allowed_first_is_given_as_the_address_to_visit():
    error = translate.error("visit", "https://credd.example/key/123", "", call="submit", where="the schedd")
    assert "visit https://credd.example/key/123 and submit again" in str(error)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (-2, "its queue is full (MAX_JOBS_SUBMITTED)"),
        (-3, "as one user may (MAX_JOBS_PER_OWNER)"),
        (-4, "no more than 17 jobs of one submission (MAX_JOBS_PER_SUBMISSION): set max_materialize"),
        (-5, "its administrator has disabled this user"),
        (-10, "expected next ProcId to be 17, but Schedd says -10"),
    ],
)
def test_a_job_s_number_that_is_an_error_is_put_in_words(number: int, words: str) -> None:
    said = f"expected next ProcId to be 17, but Schedd says {number}"
    error = translate.error("condor", said, "", call="submit", where="the schedd")
    assert type(error) is errors.SubmitRefusedError
    assert words in str(error)
