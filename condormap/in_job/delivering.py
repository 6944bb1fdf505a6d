"""Files to where they stay. Travels into the job; standard library only."""

from __future__ import annotations

import errno
import os


def deliver(source: str, target: str) -> None:
    """Move a file or a folder to where it stays; what is there has its name only when it is whole."""
    os.makedirs(os.path.dirname(target), exist_ok=True)
    new = f"{os.path.dirname(target)}/.condormap-{os.urandom(6).hex()}"
    try:
        try:
            if os.path.islink(source):
                raise OSError(errno.EXDEV, "what it leads to is copied")
            os.rename(source, new)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            _copy(source, new)
        if os.path.isdir(target) and not os.path.islink(target):
            remove(target)
        os.replace(new, target)
    except BaseException:
        remove(new)
        raise


def _copy(source: str, target: str) -> None:
    import shutil

    if os.path.isdir(source):
        shutil.copytree(source, target)
    else:
        shutil.copy(source, target)


def remove(path: str) -> None:
    """Remove a file or a folder, as far as that can be done."""
    import shutil

    try:
        os.unlink(path)
    except IsADirectoryError:
        shutil.rmtree(path, ignore_errors=True)
    except OSError:
        pass
