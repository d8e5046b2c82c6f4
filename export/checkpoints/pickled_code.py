"""Names of what a pickle would call, read from its opcodes without running any, and what to do about them."""

from __future__ import annotations

import pathlib
import pickletools
import re
import zipfile
from typing import TYPE_CHECKING, Any

import torch

from export.checkpoints.pickle_protocol import understood_by_torch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import BinaryIO

_SHOWN = 4
# Modules and functions of which no checkpoint needs any: they run commands, import code or reach the network.
_DANGEROUS_MODULES = frozenset(
    [
        "bdb",
        "code",
        "codeop",
        "commands",
        "ctypes",
        "http",
        "importlib",
        "nt",
        "os",
        "pdb",
        "pip",
        "posix",
        "pty",
        "runpy",
        "shutil",
        "smtplib",
        "socket",
        "ssl",
        "subprocess",
        "sys",
        "timeit",
        "urllib",
        "webbrowser",
    ]
)
_DANGEROUS_FUNCTIONS = frozenset(
    f"{module}.{name}"
    for module in ("builtins", "__builtin__")
    for name in ("eval", "exec", "execfile", "compile", "open", "__import__", "apply")
)
_MODEL_MODULES = (
    "torch.nn.modules",
    "torch.nn.parallel",
    "torch.fx",
    "torchvision.models",
    "timm.",
    "efficientnet_pytorch",
)
# What holds values and calls nothing, for files that torch's own list is not applied to.
_PLAIN = re.compile(
    r"torch\._utils\.|torch\.\w*Storage$|torch\.storage\.|torch\.nn\.parameter\.Parameter$|torch\.Size$|collections\.|"
    r"argparse\.Namespace$|types\.SimpleNamespace$|pathlib\.|numpy\.|datetime\.|"
    r"_codecs\.encode$|(builtins|__builtin__)\.(dict|float|int|list|set|frozenset|complex|bytearray)$"
)


def advice_on_pickle(path: Path) -> str:
    """Returns the end of an error message: what a refused file holds and what to do instead of loading it."""
    names = blocked_names(path)
    dangerous = [name for name in names if _is_dangerous(name)]
    if dangerous:
        return (
            f"would call {_shown(dangerous)} when it is loaded, which no checkpoint needs and malware does; load it "
            "nowhere and get the weights from a source that you trust"
        )
    models = [name for name in names if name.startswith(_MODEL_MODULES)]
    if models:
        own = [name for name in names if name.startswith("__main__.")]
        return (
            f"is a whole pickled model (of {_shown([*own, *models])}), which is code and is not run; load it where it "
            "was trained and save model.state_dict() instead"
        )
    if not names:
        return (
            "is pickled in a way that PyTorch cannot load without running it; load it where it was trained and save "
            "model.state_dict()"
        )
    return (
        f"holds pickled Python objects ({_shown(names)}) beside its tensors, which could run code and are refused; "
        "load it where it was trained and save model.state_dict() instead"
    )


def blocked_names(path: Path) -> tuple[str, ...]:
    """Returns the qualified names of classes and functions that a safe load does not allow, sorted.

    Inside `torch.serialization.safe_globals`, what that allows is left out.
    """
    try:
        source = understood_by_torch(path)
        file = str(source) if isinstance(source, pathlib.Path) else source
        return tuple(sorted(torch.serialization.get_unsafe_globals_in_checkpoint(file)))
    except Exception:  # of the old format, or opcodes that torch's own disassembly does not know
        return tuple(sorted({name for name in _names_in_file(path) if not _PLAIN.match(name)}))


def _names_in_file(path: Path) -> Iterator[str]:
    try:
        if not zipfile.is_zipfile(path):
            with path.open("rb") as file:
                yield from _names_of_pickles(file)
            return
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith("data.pkl"):
                    with archive.open(name) as file:
                        yield from _names_of_pickles(file)  # type: ignore[arg-type]  # a binary file all the same
    except Exception:  # whatever damage does to an archive: the names are for a message about it
        return


def _names_of_pickles(file: BinaryIO) -> Iterator[str]:
    """Yields the names in pickles that follow each other, as the old format has them, up to its raw storages."""
    try:
        while True:
            yield from _names_of_opcodes(pickletools.genops(file))
    except Exception:  # what follows the last pickle, or damage: the names read so far are what is known
        return


def _names_of_opcodes(opcodes: Iterable[tuple[Any, Any, Any]]) -> Iterator[str]:
    recent: list[str] = []
    memo: dict[int, str] = {}
    for opcode, argument, _ in opcodes:
        if opcode.name in ("GLOBAL", "INST"):
            yield argument.replace(" ", ".")
        elif opcode.name == "STACK_GLOBAL":
            yield ".".join(recent[-2:])
        elif opcode.name == "MEMOIZE":
            memo[len(memo)] = recent[-1] if recent else ""
        elif "PUT" in opcode.name:
            memo[int(argument)] = recent[-1] if recent else ""
        elif "GET" in opcode.name:
            recent.append(memo.get(int(argument), ""))
        elif isinstance(argument, str):
            recent.append(argument)


def _is_dangerous(name: str) -> bool:
    return name.partition(".")[0] in _DANGEROUS_MODULES or name in _DANGEROUS_FUNCTIONS


def _shown(names: Iterable[str]) -> str:
    listed = list(dict.fromkeys(names))
    return ", ".join(listed[:_SHOWN]) + (", ..." if len(listed) > _SHOWN else "")
