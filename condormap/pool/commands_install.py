"""``condormap pool install``: the command line of `condormap.pool.install`."""

from __future__ import annotations

from pathlib import Path

import click

from condormap.errors import PoolError

__all__ = ["install_command"]


@click.command("install")
@click.option(
    "--suite",
    metavar="NAME",
    help="Take HTCondor from this Debian or Ubuntu suite, not the newest that has it.",
)
@click.option(
    "--from-tarball",
    "tarball",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Take HTCondor from this file, an official HTCondor tarball.",
)
@click.option("--sha256", metavar="HEX", help="The checksum that the tarball must have.")
@click.option("--force", is_flag=True, help="Install again, even though an installation is complete.")
def install_command(suite: str | None, tarball: Path | None, sha256: str | None, force: bool) -> None:
    """Install the HTCondor daemons for this user, without root.

    The packages come from the mirror that apt on this machine is configured with, and end up in
    condormap's own folder; the system is not touched. Several versions may be installed side by side.
    """
    from condormap.pool.install import install

    if tarball is not None and suite is not None:
        raise click.UsageError("--suite and --from-tarball exclude each other.")
    if sha256 is not None and tarball is None:
        raise click.UsageError("--sha256 is the checksum of a tarball: use it with --from-tarball.")
    try:
        install(suite=suite, tarball=tarball, sha256=sha256, force=force, say=click.echo)
    except PoolError as error:
        raise click.ClickException(str(error)) from error
