"""Keeps a second command out of a folder while one works in it."""

from __future__ import annotations

import fcntl
from contextlib import contextmanager
from typing import TYPE_CHECKING

from export.errors import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def locked_folder(folder: Path, lock: Path) -> Iterator[None]:
    """Holds a folder for one command; the lock goes with the process, however it ends.

    Args:
        folder: What is held, for the message.
        lock: The file that stands for it; it stays.

    Raises:
        ArtifactError: Another command works on the same folder.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ArtifactError(f"another command works on {folder}; wait for it or choose another folder") from None
        yield
