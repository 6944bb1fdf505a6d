"""``condormap pool ...``: the command line of a personal pool. Errors become one message in `condormap.cli`."""

from __future__ import annotations

from pathlib import Path

import click

from condormap.errors import NoPoolError
from condormap.pool.commands_install import install_command
from condormap.pool.personal import PersonalPool

__all__ = ["pool_group"]

_in_folder = click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The pool's folder; if left out, $CONDORMAP_HOME/pool, where CONDORMAP_HOME is ~/.condormap if not set.",
)


@click.group("pool")
def pool_group() -> None:
    """Install, start and stop a personal HTCondor pool on this machine."""


pool_group.add_command(install_command)


@pool_group.command()
@click.option("--cpus", type=int, metavar="N", help="How many cpus its jobs may use together.")
@click.option("--memory", metavar="M", help="How much memory its jobs may use together: MB, or 4GB.")
@_in_folder
@click.option("--idle-timeout", type=float, metavar="SECONDS", help="End after so long with an empty queue.")
@click.option(
    "--daemons",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="The HTCondor installation to run, if not the one that condormap finds.",
)
def start(
    cpus: int | None,
    memory: str | None,
    folder: Path | None,
    idle_timeout: float | None,
    daemons: Path | None,
) -> None:
    """Start a pool that runs on in the background, until `stop`, its idle time-out or the machine's end."""
    pool = PersonalPool(folder, cpus=cpus, memory=memory, idle_timeout=idle_timeout, daemons=daemons)
    pool.start()
    click.echo(_description(pool))
    if folder is not None:
        click.echo(f"For condormap and HTCondor's own tools: export CONDOR_CONFIG='{pool.config_file}'")


@pool_group.command()
@_in_folder
def status(folder: Path | None) -> None:
    """Say whether the pool runs, and with what. The exit code is 1 when it does not."""
    click.echo(_description(PersonalPool.attach(folder)))


@pool_group.command()
@_in_folder
def stop(folder: Path | None) -> None:
    """Stop the pool and its jobs. The queue stays: at the next start its jobs run again."""
    try:
        pool = PersonalPool.attach(folder)
    except NoPoolError:
        click.echo("No personal pool runs there.")
        return
    pool.stop()
    click.echo(f"Stopped the pool in {pool.folder}.")


@pool_group.command()
@click.argument("daemon", default="Master")
@click.option("--lines", "-n", default=20, show_default=True, metavar="N", help="How many lines.")
@_in_folder
def logs(daemon: str, lines: int, folder: Path | None) -> None:
    """Show the end of a DAEMON's log: master (the default), collector, negotiator, schedd, startd, shadow."""
    for line in PersonalPool(folder).logs(daemon, lines):
        click.echo(line)


@pool_group.command()
@click.option(
    "--path", is_flag=True, help="Only the file's path, for CONDOR_CONFIG=$(condormap pool config --path)."
)
@_in_folder
def config(path: bool, folder: Path | None) -> None:
    """Show the pool's HTCondor configuration."""
    file = PersonalPool(folder).config_file
    try:
        text = file.read_text()
    except OSError as error:
        raise click.ClickException(
            f"There is no pool's configuration in {file.parent}: {error.strerror}.\n"
            "Start a pool: condormap pool start"
        ) from error
    click.echo(file if path else text, nl=path)


def _description(pool: PersonalPool) -> str:
    timeout = "never" if pool.idle_timeout is None else f"after {pool.idle_timeout:g} s with an empty queue"
    return "\n".join(
        (
            f"A personal pool runs in {pool.folder}",
            f"  HTCondor  {pool.daemons.version} ({pool.daemons.release})",
            f"  gives     {pool.cpus} cpus, {pool.memory} MB of memory",
            f"  ends      {timeout}",
            f"  process   {pool.pid}",
        )
    )
