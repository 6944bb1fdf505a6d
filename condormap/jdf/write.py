"""Job description files from ads: for a support ticket, and for people who leave.

An attribute that a submit command sets is written as that command if its value allows, all others as ``MY.Name``,
which condor_submit takes over as they are. What is the same for all jobs stands above the queue statement; what is
not becomes a column of its table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from ..errors import InvalidInputError

# What HTCondor itself writes into an ad: who submitted it and when, what has become of it, what condor_submit
# measures again. Everything else is the user's.
_OF_HTCONDOR = frozenset(
    """
    _condor_StartdHandlesAlives AllRemoteHosts AuthTokenGroups AuthTokenId AuthTokenIssuer AuthTokenScopes
    AuthTokenSubject AutoClusterAttrs AutoClusterId BytesRecvd BytesSent CheckpointNumber ClaimId ClaimIds
    ClusterId CommittedSlotTime CommittedSuspensionTime CommittedTime CompletionDate CondormapSubmission
    CondorPlatform CondorVersion CPUInstructions CumulativeRemoteSysCpu CumulativeRemoteUserCpu
    CumulativeSlotTime CumulativeSuspensionTime CumulativeTransferTime CurrentHosts CurrentRank
    DelegatedProxyExpiration DiskUsage EC2InstanceName EC2RemoteVirtualMachineName EC2SpotRequestID
    EC2StatusReasonCode EditedClusterAttrs EnteredCurrentStatus EpochWriteDate ExecutableSize
    ExecuteDirWasEncrypted ExitBySignal ExitCode ExitReason ExitSignal ExitStatus FileSystemDomain
    FirstJobMatchDate GlobalJobId GridJobId GridJobStatus GridResourceUnavailableTime HoldReason
    HoldReasonCode HoldReasonSubCode ImageSize InitialJobStatus InitialWaitDuration IOWait
    JobAbortEventLogged JobCoolDownExpiration JobCoreDumped JobCoreFileName JobDisconnectedDate
    JobFinishedHookDone JobLastCheckpointTime JobLastStartDate JobLeaseExpiration JobMaterializeDate
    JobMaterializeDigestFile JobMaterializeItemCount JobMaterializeItemsFile JobMaterializeLimit
    JobMaterializeMaxIdle JobMaterializeNextProcId JobMaterializeNextRow JobMaterializePaused
    JobMaterializePauseReason JobPid JobPreparingTasks JobQueueBirthdate JobRunCount JobSetId JobStartDate
    JobState JobStatus JobStatusOnRelease JobSubmitFile JobSubmitMethod JobUniverse JobVMCpuUtilization
    LastCkptTime LastFileTransferErrorProtocol LastHoldReason LastHoldReasonCode LastHoldReasonSubCode
    LastJobLeaseRenewal LastJobStatus LastMatchListLength LastMatchName LastMatchTime
    LastPeriodicCheckpoint LastPublicClaimId LastPublicClaimIds LastRejMatchNegotiator LastRejMatchReason
    LastRejMatchTime LastReleaseReason LastRemoteHost LastRemotePool LastRemoteStatusUpdate
    LastRemoteWallClockTime LastShadowException LastSuspensionTime LastVacateTime LocalCpu Managed
    ManagedManager MaxHosts MemoryUsage MinHosts MyType NetworkInputMb NetworkOutputMb NewlyCommittedTime
    NumCkpts NumHolds NumHoldsByReason NumInputTransferStarts NumJobCompletions NumJobCoolDowns
    NumJobMatches NumJobReconnects NumJobStarts NumJobStartsDelayed NumOutputTransferStarts NumPids
    NumRestarts NumShadowExceptions NumShadowStarts NumSystemHolds NumVacates NumVacatesByReason
    NumVacatesByReasonPreExecution NumVacatesPreExecution OnExitRemoveReason OrigMaxHosts OSHomeDir OsUser
    Owner ProcId ProportionalSetSizeKb QDate ReleaseReason RemoteHost RemotePool RemoteSlotID RemoteSysCpu
    RemoteUserCpu RemoteWallClockTime RemoveReason RequeueReason ResidentSetSize ScratchDirFileCount
    ServerTime ShadowBday ShadowIpAddr ShadowVersion SpooledOutputFiles StageInFinish StageInStart
    StageOutFinish StageOutStart StartdIpAddr StartdPrincipal StartdSendsAlives StarterIpAddr
    StatsLifetimeStarter StderrMtime StdoutMtime SubmitterGlobalJobId SubmitterId SubmitVersion TargetType
    TerminationPending ToE TotalJobReconnectAttempts TotalSubmitProcs TotalSuspensions
    TransferInputFileCounts TransferInputSizeMB TransferInputStats TransferKey TransferOutputStats
    TransferQueued TransferringInput TransferringOutput TransferSocket UncommittedSuspensionTime User
    VacateReason VacateReasonCode VacateReasonSubCode VM_CkptIP VM_CkptMac WallClockCheckpoint
    WantCheckpoint x509UserProxyEmail x509UserProxyExpiration x509UserProxyFirstFQAN x509UserProxyFQAN
    x509userproxysubject x509UserProxyVOName
    """.lower().split()
)
_OF_HTCONDOR_ALIKE = re.compile(
    r".*_raw|(lastmatch|lastrejmatch|recent|activation|block|jobcurrent|machineattr|jobduration).+|recentstats.+|.+provisioned"
    r"|(cpus|disk|gpus|memory)usage|transfer(in|out)(queued|started|finished)|publicclaimid.*|vacate.+",
    re.IGNORECASE,
)
# What every ad has if nothing is said.
_NULL = '"/dev/null"'
_DEFAULTS = {
    "environment": '""',
    "err": _NULL,
    "in": _NULL,
    "jobleaseduration": "undefined",
    "jobnotification": "0",
    "jobprio": "0",
    "leavejobinqueue": "false",
    "out": _NULL,
    "rank": "0.0",
    "streamerr": "false",
    "streamin": "false",
    "streamout": "false",
}
_FACTORY = frozenset({"jobmaterializemaxidle", "jobmaterializelimit"})
_UNIVERSES = {
    "5": "vanilla",
    "7": "scheduler",
    "9": "grid",
    "10": "java",
    "11": "parallel",
    "12": "local",
    "13": "vm",
}
_STRING = re.compile(r'"((?:\\"|[^"])*)"')  # of the old syntax, in which one may end in a backslash
_NUMBER = re.compile(r"\d+")
_ARGUMENTS = frozenset({"args", "arguments"})
_ON_SUBMISSION = "15"  # the code of a hold that was asked for by `hold = true`
_UNIT = "\x1f"
_EMPTY = "$(job_end:)"  # a macro that nobody defines


def jdf_of_ads(ads: Iterable[Mapping[str, str]]) -> str:
    """Return a job description that condor_submit makes these jobs of again, in one cluster.

    Parameters
    ----------
    ads : iterable of mapping
        The jobs' whole ads, their values in the language of ads, as `Condor.query_text` gives them. Of a factory,
        those that have materialised; a comment tells how many are missing.

    Raises
    ------
    InvalidInputError
        There is no ad.
    """
    jobs = sorted(ads, key=lambda ad: int(ad.get("ProcId", "0")))
    if not jobs:
        raise InvalidInputError(
            "there is no job to write a description of: it left the queue and the history"
        )
    lower = [{name.lower(): " ".join(value.split("\n")) for name, value in ad.items()} for ad in jobs]
    columns = dict(_commands(lower, {name.lower(): name for ad in jobs for name in ad}))
    changing = [name for name, values in columns.items() if len(set(values)) > 1]
    lines = [f"# {line}" for line in _remarks(jobs)]
    lines += [f"{name} = {values[0]}" for name, values in columns.items() if name not in changing]
    lines += [f"{name} = $({_variable(name)})" for name in changing]
    rows = [{name: columns[name][index] for name in changing} for index in range(len(jobs))]
    return "\n".join([*lines, *_queue(rows, changing)]) + "\n"


def _remarks(jobs: Sequence[Mapping[str, str]]) -> list[str]:
    first = jobs[0]
    of = f"{len(jobs)} job" + ("s" if len(jobs) > 1 else "")
    remarks = [f"{of} of cluster {first.get('ClusterId', '?')}, as condor_submit makes them again."]
    total = int(first.get("TotalSubmitProcs", "0")) if "JobMaterializeLimit" in first else 0
    if total > len(jobs):
        remarks.append(
            f"{total - len(jobs)} jobs are missing: a factory makes them later, and they have no ad."
        )
    return remarks


def _commands(ads: Sequence[Mapping[str, str]], names: Mapping[str, str]) -> Iterator[tuple[str, list[str]]]:
    """Give the submit commands, each with its value for every job; `names` is how attributes are spelt."""
    yield from ((command, [value] * len(ads)) for command, value in _universe(ads[0]))
    left = [name for name in names if not _left_out(name, ads)]
    arguments = [_arguments(ad) for ad in ads]
    if None not in arguments:
        left = [name for name in left if name not in _ARGUMENTS or _in_both_syntaxes(name, ads)]
    for name, (command, write) in _WRITERS.items():
        if command == "environment" and ("args" in names or ("arguments" in names and None not in arguments)):
            # MY.Args says which if they cannot be written; with none, an empty Arguments would win.
            yield "arguments", ["-" if None in arguments else _escaped(text or "") for text in arguments]
        texts = [write(ad[name]) if name in ad else "" for ad in ads]
        good = [text for text in texts if text is not None]
        if name in names and len(good) == len(ads) and (name in left or name in _FACTORY):
            yield command, [_escaped(text) for text in good]
            left = [each for each in left if each != name]
        elif command == "executable" and name in left:
            yield command, ["/bin/true"] * len(ads)  # MY.Cmd says which, but there has to be one
    if any(map(_submitted_on_hold, ads)):
        yield "hold", [str(_submitted_on_hold(ad)).lower() for ad in ads]
    for name in sorted(left):
        yield f"MY.{names[name]}", [_escaped(ad.get(name, "undefined")) for ad in ads]


def _universe(ad: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    universe = ad.get("jobuniverse", "5")
    if universe == "5" and ad.get("wantcontainer") == "true":
        yield "universe", "container"
    elif universe == "5" and ad.get("wantdocker") == "true":
        yield "universe", "docker"
    else:
        yield "universe", _UNIVERSES.get(universe, universe)
    if universe == "11":
        yield "machine_count", ad.get("maxhosts", "1")


def _submitted_on_hold(ad: Mapping[str, str]) -> bool:
    return (ad.get("jobstatus"), ad.get("holdreasoncode")) == ("5", _ON_SUBMISSION)


def _left_out(name: str, ads: Sequence[Mapping[str, str]]) -> bool:
    """Tell whether condor_submit comes to the attribute without a command."""
    if name in _OF_HTCONDOR or _OF_HTCONDOR_ALIKE.fullmatch(name):
        return True
    if stream := {"transferin": "in", "transferout": "out", "transfererr": "err"}.get(name):
        return all(ad.get(stream, _NULL) == _NULL for ad in ads)
    return all(_DEFAULTS.get(name) == ad.get(name, "") for ad in ads)


def _queue(rows: Sequence[Mapping[str, str]], changing: Sequence[str]) -> list[str]:
    """Return the queue statement, with a table if jobs differ."""
    if not changing:
        return [f"queue {len(rows)}" if len(rows) > 1 else "queue"]
    # A column but the last ends at a comma or a blank, unless the columns are divided by HTCondor's own separator.
    plain = {name: all(re.fullmatch(r"[^,\s]+", row[name]) for row in rows) for name in changing}
    columns = sorted(changing, key=lambda name: not plain[name])
    separator = ", " if all(plain[name] for name in columns[:-1]) else _UNIT
    table = [separator.join(row[name] for name in columns) for row in rows]
    return [f"queue {', '.join(map(_variable, columns))} from (", *table, ")"]


def _variable(command: str) -> str:
    return "job_" + command.removeprefix("MY.")


def _escaped(text: str) -> str:
    """Return text that the submit language leaves as it is.

    ``$(x)`` and ``$F(x)`` are no macros in an ad, a backslash joins no line, and blanks at the ends stay.
    """
    before = _EMPTY if text[:1].isspace() else ""
    after = _EMPTY if text[-1:].isspace() or text.endswith("\\") else ""
    return before + re.sub(r"(?<!\$)\$(?=\w*\()", "$(DOLLAR)", text) + after


def _text(value: str) -> str | None:
    """Return the text of a string of the old ClassAd syntax; None for other values."""
    found = _STRING.fullmatch(value)
    return None if found is None else found[1].replace('\\"', '"')


def _file(value: str) -> str | None:
    text = _text(value)
    return None if text is None or '"' in text else text


def _arguments(ad: Mapping[str, str]) -> str | None:
    """Write a job's arguments: the attribute Arguments, or Args, which has the older of the two syntaxes."""
    if "arguments" in ad:
        return _quoted(ad["arguments"])
    text = _text(ad.get("args", '""'))
    return None if text is None else text.replace('"', '\\"')


def _in_both_syntaxes(name: str, ads: Sequence[Mapping[str, str]]) -> bool:
    return name == "args" and any(name in ad and "arguments" in ad for ad in ads)


def _quoted(value: str) -> str | None:
    """Write the attributes Arguments and Environment, which have the newer syntax."""
    text = _text(value)
    return None if text is None else '"' + text.replace('"', '""') + '"'


def _number(value: str) -> str | None:
    return value if _NUMBER.fullmatch(value) else None


def _yes_or_no(value: str) -> str | None:
    return value if value in ("true", "false") else None


# Attribute, in lower case -> the command that sets it and how its value is written; None: not by this command.
_WRITERS: Mapping[str, tuple[str, Callable[[str], str | None]]] = {
    "jobbatchname": ("batch_name", _file),
    "cmd": ("executable", _file),
    "transferexecutable": ("transfer_executable", _yes_or_no),
    "environment": ("environment", _quoted),
    "containerimage": ("container_image", _file),
    "dockerimage": ("docker_image", _file),
    "gridresource": ("grid_resource", _file),
    "iwd": ("initialdir", _file),
    "in": ("input", _file),
    "out": ("output", _file),
    "err": ("error", _file),
    "userlog": ("log", _file),
    "shouldtransferfiles": ("should_transfer_files", _file),
    "whentotransferoutput": ("when_to_transfer_output", _file),
    "transferinput": ("transfer_input_files", _file),
    "transferoutput": ("transfer_output_files", _file),
    "transferoutputremaps": ("transfer_output_remaps", _quoted),
    "requestcpus": ("request_cpus", _number),
    "requestmemory": ("request_memory", _number),
    "requestdisk": ("request_disk", _number),
    "requestgpus": ("request_gpus", _number),
    "jobmaterializemaxidle": ("max_idle", _number),
    "jobmaterializelimit": ("max_materialize", _number),
}
