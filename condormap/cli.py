"""The command line: ``condormap doctor``, ``condormap pool ...``."""

from __future__ import annotations

import sys
from typing import Any

import click

from . import __version__
from .errors import CondormapError
from .pool.commands import pool_group


class _Group(click.Group):
    """Commands that end with one clear message where condormap raises an error of its own."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except CondormapError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="condormap")
def main() -> None:
    """Call Python functions over datasets on an HTCondor pool."""


@main.command()
@click.option("--pool", help="The collector's address, where it is not the configuration's.")
@click.option("--schedd", help="The schedd's name.")
@click.option("--timeout", default=120.0, show_default=True, help="Seconds for the probe job.")
def doctor(pool: str | None, schedd: str | None, timeout: float) -> None:
    """Tell which pool is used and why, as whom, and run one probe job there."""
    from .doctor import examine

    for finding in examine(pool, schedd, timeout=timeout):
        mark = click.style("ok  ", fg="green") if finding.ok else click.style("FAIL", fg="red")
        click.echo(f"{mark}  {finding.what + ':':12} {finding.told}")
        if not finding.ok:
            sys.exit(1)


main.add_command(pool_group)


if __name__ == "__main__":
    main()
