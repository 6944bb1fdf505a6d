"""One call to the child, bounded by a deadline, every failure a typed error."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from condormap import errors
from condormap.address import PoolAddress
from condormap.condor import translate
from condormap.condor.environment import child_environment
from condormap.condor.process import ChildLostError, ChildStartError, ChildTimeoutError, Process

#: Seconds that a call may take unless it is given another deadline, by the kind of call.
DEADLINES: Mapping[str, float] = {
    "act": 20,
    "analyse": 60,  # a large pool has tens of thousands of slots
    "edit": 20,
    "expand_block": 60,  # it may run a script of the user's
    "events": 20,  # a local file: only a dead file server takes this long
    "fit": 20,
    "history": 60,  # a schedd reads through its whole history
    "importable": 20,
    "param": 20,
    "ping": 20,
    "query": 20,
    "query_text": 60,
    "rehearse_block": 60,
    "schedd_ad": 20,
    "slots": 20,
    "submit": 60,
    "submit_block": 60,
}

# What calls are called in messages, where it is not by their own name.
_CALLED = {
    "analyse": "explain",
    "expand_block": "expand",
    "query_text": "query",
    "rehearse_block": "submit",
    "submit_block": "submit",
}
_LEAST = 1.0  # seconds that a call may take, however little time `within` leaves
_bound = threading.local()


@contextlib.contextmanager
def within(until: float | None) -> Iterator[None]:
    """Let this thread's calls end when ``time.monotonic()`` passes `until`, whatever deadlines they have.

    Each gets a second all the same, so that a wait without time can look once.
    """
    before = getattr(_bound, "until", None)
    _bound.until = until
    try:
        yield
    finally:
        _bound.until = before


class UncertainError(Exception):
    """The call gave no answer, and may have been done or not; `failure` is the error for it."""

    def __init__(self, failure: errors.CondorError) -> None:
        super().__init__(str(failure))
        self.failure = failure


class Calls:
    """Calls to the child of one pool.

    Parameters
    ----------
    address : PoolAddress
        Where the pool is.
    """

    def __init__(self, address: PoolAddress) -> None:
        self._address = address
        self._at = {"schedd": address.schedd, "collector": address.collector}
        self.process = Process(lambda: child_environment(address))

    def start(self) -> None:
        """Start the child without waiting for it."""
        try:
            self.process.start()
        except ChildStartError as error:
            raise self._not_started("start", error) from error

    def local(self, name: str, deadline: float | None, **arguments: Any) -> Any:
        """Make a call that only asks; if the child is lost during it, once more."""
        return self._certain(name, deadline, arguments, again=True)

    def ask(self, name: str, deadline: float | None, **arguments: Any) -> Any:
        """Ask the schedd; if the child is lost during it, once more."""
        return self._certain(name, deadline, {"at": self._at, **arguments}, again=True)

    def change(self, name: str, deadline: float | None, **arguments: Any) -> Any:
        """Have the schedd do something, once."""
        return self._certain(name, deadline, {"at": self._at, **arguments}, again=False)

    def change_or_uncertain(
        self, name: str, deadline: float, descriptors: Sequence[int] = (), **arguments: Any
    ) -> Any:
        """Have the schedd do something, once; raise `UncertainError` unless it is known how that ended.

        The child has copies of `descriptors` meanwhile.
        """
        return self._make(name, deadline, {"at": self._at, **arguments}, again=False, descriptors=descriptors)

    def _certain(
        self, name: str, deadline: float | None, arguments: Mapping[str, Any], *, again: bool
    ) -> Any:
        seconds = DEADLINES[name] if deadline is None else deadline
        try:
            return self._make(name, seconds, arguments, again=again)
        except UncertainError as uncertain:
            raise uncertain.failure from None

    def _make(
        self,
        name: str,
        seconds: float,
        arguments: Mapping[str, Any],
        *,
        again: bool,
        descriptors: Sequence[int] = (),
    ) -> Any:
        bound = getattr(_bound, "until", None)
        if bound is not None:
            seconds = min(seconds, max(_LEAST, bound - time.monotonic()))
        until = time.monotonic() + seconds
        try:
            kind, value, log = self.process.call(name, arguments, until=until, descriptors=descriptors)
        except ChildStartError as error:
            raise self._not_started(name, error) from error
        except ChildTimeoutError as error:
            if error.waiting:
                raise self._not_begun(name, seconds) from None
            raise UncertainError(self._late(name, seconds)) from None
        except ChildLostError as error:
            if again:
                return self._make(name, until - time.monotonic(), arguments, again=False)
            raise UncertainError(self._lost(name, str(error))) from None
        if kind == "ok":
            return value
        call = _CALLED.get(name, name)
        failure = translate.error(
            kind, value, log, call=call, where=self._where(name), restart=self._restart()
        )
        if kind == "uncertain" and isinstance(failure, errors.UnreachableError):
            raise UncertainError(failure)
        raise failure

    def _where(self, call: str) -> str:
        if call == "events":
            return "the file system"
        if call in ("param", "importable", "expand_block"):
            return "condormap's process for calls to HTCondor"
        address = self._address
        name = "the collector" if call in ("fit", "slots") else f"the schedd {address.schedd or ''}".rstrip()
        given = [str(each) for each in (address.collector, address.config_file, address.why) if each]
        return f"{name} ({'; '.join(given) or 'of the configuration'})"

    def _restart(self) -> str:
        """Return how to start the pool again if it is a personal one."""
        file = self._address.config_file
        if file is None or not (file.parent / "pool.lock").exists():
            return ""
        return (
            f"if the personal pool in {file.parent} was stopped, start it again (pool.start(), or `condormap pool"
            f" start --dir {file.parent}`), its queue is still there; else "
        )

    def _late(self, call: str, seconds: float) -> errors.DeadlineError:
        return errors.DeadlineError(
            f"{_CALLED.get(call, call)}: no answer from {self._where(call)} "
            f"within {seconds:.3g} s. It may be stopped, overloaded, or"
            " behind a firewall. What to do: see whether it runs (`condormap doctor`), call again, or give a"
            " longer deadline"
        )

    def _not_begun(self, call: str, seconds: float) -> errors.DeadlineError:
        return errors.DeadlineError(
            f"{_CALLED.get(call, call)}: not begun within {seconds:.3g} "
            f"s, for other calls to {self._where(call)} were under way."
            " Nothing was done. What to do: call again, or give a longer deadline"
        )

    def _lost(self, call: str, stderr: str) -> errors.UnreachableError:
        return errors.UnreachableError(
            f"{_CALLED.get(call, call)}: condormap's process for "
            f"calls to HTCondor ended while the call was under way"
            f" ({stderr or 'it was killed'}). What to do: call again, which starts another"
        )

    def _not_started(self, call: str, error: ChildStartError) -> errors.CondorError:
        advice = (
            "correct the configuration"
            if "Configuration Error" in str(error)
            else "see whether this machine has processes, descriptors and memory left, then call again"
        )
        return errors.CondorError(
            f"{_CALLED.get(call, call)}: condormap's process for calls to HTCondor could not be started ({error})."
            f" Nothing was done. What to do: {advice}"
        )


class Caller:
    """What makes calls to a pool.

    Parameters
    ----------
    address : PoolAddress
        Where the pool is.
    """

    def __init__(self, address: PoolAddress) -> None:
        self.address = address
        self._calls = Calls(address)
