"""How plain jobs look at a prompt and in a notebook."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape

from ..status import JobStatus
from .record import JobRecord

_SHOWN = 20  # rows of a table


def in_words(counts: Mapping[JobStatus, int]) -> str:
    """Return counts as text: ``"3 idle, 1 running"``."""
    return ", ".join(f"{n} {status.name.lower().replace('_', ' ')}" for status, n in counts.items())


def html(text: str) -> str:
    """Return text as HTML."""
    return f"<code>{escape(text)}</code>"


def job_html(id: str, record: JobRecord) -> str:
    """Return one job as an HTML table."""
    return _table("", [(id, record)])


def jobs_html(title: str, rows: Iterable[tuple[str, JobRecord]]) -> str:
    """Return jobs as an HTML table, those first that need looking at; of many, the first ones."""
    order = [JobStatus.HELD, JobStatus.RUNNING, JobStatus.SUSPENDED, JobStatus.TRANSFERRING_OUTPUT]
    order += [JobStatus.IDLE, JobStatus.REMOVED, JobStatus.COMPLETED]
    return _table(title, sorted(rows, key=lambda row: order.index(row[1].status)))


def _table(title: str, rows: list[tuple[str, JobRecord]]) -> str:
    cells = "".join(
        f"<tr><td>{escape(id)}</td><td>{record.status.name}</td><td>{escape(record.host)}</td>"
        f"<td>{escape(record.in_words())}</td></tr>"
        for id, record in rows[:_SHOWN]
    )
    more = f"<tr><td colspan=4>and {len(rows) - _SHOWN} more</td></tr>" if len(rows) > _SHOWN else ""
    head = "<tr><th>job</th><th>status</th><th>host</th><th></th></tr>"
    caption = f"<caption>{escape(title)}</caption>" if title else ""
    return f"<table>{caption}{head}{cells}{more}</table>"
