"""The one place where a command turns errors into a line on standard error and an exit code."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from typing import TYPE_CHECKING, NoReturn

from export import __version__
from export.errors import SignoffError
from export.interrupts import careful_interrupts

if TYPE_CHECKING:
    from collections.abc import Callable

EXIT_BAD_INPUT = 2
EXIT_LIMIT_MISSED = 3
EXIT_INCONCLUSIVE = 4
# What a shell tells of a command that SIGPIPE ended.
EXIT_PIPE_CLOSED = 141
# What the extra `workstation` installs; a device that only runs engines has none of it.
WORKSTATION_PACKAGES = frozenset(
    {"jinja2", "matplotlib", "nncf", "onnx", "onnxscript", "safetensors", "scipy", "timm", "torch", "zstandard"}
)
_ENVIRONMENT_ERRORS = {
    errno.ENOSPC: "the disk is full; free some space and run the same command again, it goes on where it stopped",
    errno.EDQUOT: "the disk quota is used up; free some space and run the same command again",
    errno.EFBIG: "a file may not grow that large here (see ulimit -f); raise the limit and run the same command again",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.EACCES: "permission denied; change its permissions or choose another path",
    errno.EPERM: "operation not permitted; choose a folder that you may write to",
    errno.ENOENT: "no such file; was it moved meanwhile?",
    errno.EEXIST: "a file stands where a folder is expected; choose another path",
    errno.ENOTDIR: "a part of the path is a file, not a folder; choose another path",
    errno.EISDIR: "a folder stands where a file is expected; choose another path",
    errno.ENAMETOOLONG: "the path is too long; choose a shorter one",
}


class CommandParser(argparse.ArgumentParser):
    """The options of a command; a mistake in them is one line, as every error is, not one below a page of usage.

    Args:
        name: Of the command.
        description: What it does, in a sentence.
        epilog: Examples and exit codes, shown as they are.
    """

    def __init__(self, name: str, description: str, epilog: str) -> None:
        super().__init__(
            prog=name,
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self.add_argument("--version", action="version", version=f"engine-signoff {__version__}")

    def error(self, message: str) -> NoReturn:
        """Ends the command with the mistake in one line and exit code 2."""
        self.exit(EXIT_BAD_INPUT, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def whole_number(smallest: int) -> Callable[[str], int]:
    """Returns an argparse type for whole numbers from `smallest` on."""

    def parsed(text: str) -> int:
        if not text.isdigit() or int(text) < smallest:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {smallest} on")
        return int(text)

    return parsed


def run_command(name: str, command: Callable[[], int]) -> int:
    """Runs a command and returns its exit code; errors that the user can mend become one line and code 2.

    Errors of the program keep their traceback, because a bug report needs it.
    """
    try:
        with careful_interrupts():
            code = command()
            sys.stdout.flush()
    except BrokenPipeError:  # a reader such as `head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_PIPE_CLOSED
    except SignoffError as error:
        message = str(error)
    except KeyboardInterrupt:
        message = "interrupted; nothing is half-written, run the same command again to go on"
    except ModuleNotFoundError as error:
        if error.name not in WORKSTATION_PACKAGES:
            raise
        message = (
            f"the package {error.name} is not installed; run: pip install 'engine-signoff[workstation]' "
            "(only evaluate-engines --scores-only does without)"
        )
    except OSError as error:
        if error.errno not in _ENVIRONMENT_ERRORS:
            raise
        where = f"{error.filename}: " if error.filename else ""
        message = where + _ENVIRONMENT_ERRORS[error.errno]
    else:
        return code
    print(f"{name}: error: {' '.join(message.split())}", file=sys.stderr)
    return EXIT_BAD_INPUT
