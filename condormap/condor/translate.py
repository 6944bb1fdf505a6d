"""From the child's answers to condormap's errors: the only place that reads HTCondor's messages.

The bindings raise one class for everything, and often without the reason; HTCondor writes that to standard error
(see `Bindings`). Both texts are read here. The messages are those of 23.9 to 25.14.
"""

from __future__ import annotations

import re

from condormap import errors

# The first pattern that is found decides. The order matters: a call that was not authorised is also reported as
# one that could not connect.
_MESSAGES: tuple[tuple[str, type[errors.CondorError]], ...] = (
    (
        r"Failed to create (job|submit digest|proc|cluster ad)|Failed to send (item data|submit digest)"
        r"|Submit:-?\d+:|credd",
        errors.RefusedError,
    ),
    (
        r'SECMAN:20(02|04|05|10)|security policy is invalid|AUTHENTICATE:\d+|"DENIED"'
        r"|PERMISSION DENIED|no auth(entication)? method|failed to authenticate|authentication failed",
        errors.NotAuthorizedError,
    ),
    (r"Unable to commit transaction|Attempt to edit", errors.RefusedError),
    (
        r"CEDAR:600\d|(failed|unable) to connect|can't connect|connection (refused|reset|closed)"
        r"|SECMAN:20(03|07|11)|failed communication|communication error|timed? ?out|failed to start command"
        r"|unable to determine collector host|unknown host|unable to (read|send|receive)|gave no totals"
        r"|failed to (send|receive|read)|error when performing action",
        errors.UnreachableError,
    ),
    (r"unable to locate local daemon", errors.UnreachableError),  # it was stopped: its address file is gone
    (r"unable to (locate|find)|can't find address", errors.UnknownScheddError),
)

_WORDS: dict[type[errors.CondorError], tuple[str, str]] = {
    errors.NotAuthorizedError: (
        "does not authorise it",
        "`condormap doctor` shows as whom you are authenticated; ask the pool's administrator for access if that"
        " is the right name, else for how to authenticate (a token, a Kerberos ticket...)",
    ),
    errors.UnreachableError: (
        "cannot be reached, or was lost",
        "see whether the daemon runs (`condormap doctor`), then call again",
    ),
    errors.UnknownScheddError: ("was not found", "name a schedd that the pool has, as schedd="),
}

# NEWJOB_ERR_... of condor_qmgr.h: what the schedd answers in place of a job's number.
_NO_JOB = re.compile(r"expected next ProcId to be (\d+), but Schedd says (-\d+)")
_WHY_NO_JOB = {
    -2: "its queue is full (MAX_JOBS_SUBMITTED): wait until jobs have left it",
    -3: "you have as many jobs in its queue as one user may (MAX_JOBS_PER_OWNER): wait until jobs have left it",
    -4: "it takes no more than {} jobs of one submission (MAX_JOBS_PER_SUBMISSION): set max_materialize (1000,"
    " say), by which it makes the jobs little by little, or submit them as several clusters",
    -5: "its administrator has disabled this user",
    -6: "it does not know this user",
    -7: "this user may not submit jobs",
}

_TIMESTAMP = re.compile(r"^\d\d/\d\d/\d\d \d\d:\d\d:\d\d(\.\d+)? (\(.*?\) )*", re.MULTILINE)
_EDGES = "\t\n ;."


def classify(message: str, log: str = "") -> type[errors.CondorError]:
    """Return the class of error for a message of the bindings and what HTCondor logged beside it."""
    text = f"{message}\n{log}"
    for pattern, kind in _MESSAGES:
        if re.search(pattern, text, re.IGNORECASE):
            return kind
    return errors.RefusedError


def error(
    kind: str, text: str, log: str, *, call: str, where: str, restart: str = ""
) -> errors.CondormapError:
    """Return the error for an answer of the child that is not ``"ok"``.

    Parameters
    ----------
    kind, text, log : str
        How the call ended, what it said, what the child wrote to its standard error meanwhile.
    call : str
        What was asked for, for the message: ``"submit"``.
    where : str
        Of whom it was asked: ``"the schedd of the configuration (CONDOR_CONFIG is set)"``.
    restart : str, optional
        How to start its daemons, where this user can: the beginning of a sentence.
    """
    if kind in ("condor", "uncertain"):
        failure, message = _from_condor(text, log, call, where, restart)
        certain = kind == "condor" or failure is errors.SubmitRefusedError
        return failure(f"{message}. Nothing was submitted" if call == "submit" and certain else message)
    if kind == "ad":
        said = _said(re.sub(r"Submit:-?\d+:", "\n", " ".join(text.split())), log)
        return errors.SubmitRefusedError(
            f"submit: HTCondor can make no job of the description: {said}. Nothing was submitted", said=said
        )
    if kind == "invalid":
        if call == "submit":
            return errors.SubmitRefusedError(
                f"submit: the description is not in HTCondor's submit language: {_said(text, log)}."
                " Nothing was submitted"
            )
        return errors.InvalidInputError(f"{call}: {text}")
    if kind == "unknown":
        return errors.UnknownScheddError(
            f"{call}: the pool knows no schedd of the name {text!r} ({where});"
            " `condor_status -schedd` lists the names, in full as schedd= wants them"
        )
    if kind == "which":
        return errors.UnknownScheddError(
            f"{call}: {where} leaves open which schedd to use, and the pool has {text or 'none'};"
            " name one, as schedd="
        )
    if kind == "visit":
        return errors.NotAuthorizedError(
            f"submit: the job needs a credential that you have to allow first: visit {text} and submit again;"
            " nothing was submitted"
        )
    if kind == "file":
        return errors.StorageError(f"{call}: {text}")
    if kind == "missing":
        return errors.CondorError(
            f"{call}: HTCondor's Python bindings cannot be imported ({text}): install the package htcondor,"
            " version 25.0 or later, for this Python"
        )
    return errors.CondorError(f"{call}: an error in condormap's process for HTCondor calls:\n{text}")


def _from_condor(
    text: str, log: str, call: str, where: str, restart: str
) -> tuple[type[errors.CondorError], str]:
    kind = classify(text, log)
    verb, advice = _WORDS.get(kind, ("refused it", ""))
    if kind is errors.UnreachableError:
        advice = restart + advice
    message = f"{call}: {where} {verb}: {_said(text, log)}" + (f". What to do: {advice}" if advice else "")
    return errors.SubmitRefusedError if (kind, call) == (errors.RefusedError, "submit") else kind, message


def _said(text: str, log: str) -> str:
    """Return the message and the log on one line, without time stamps, each sentence once."""
    parts = dict.fromkeys(
        part
        for line in [*text.splitlines(), *_TIMESTAMP.sub("", log).splitlines()]
        if (part := line.strip(_EDGES))
    )
    return "; ".join(map(_no_job, parts))


def _no_job(said: str) -> str:
    found = _NO_JOB.fullmatch(said)
    why = _WHY_NO_JOB.get(int(found[2])) if found else None
    return said if found is None or why is None else why.format(found[1])
