"""Pickles of protocols 3 to 5 spelled in protocol 2, which is all that PyTorch's safe loading understands.

Opcodes are rewritten one by one. Nothing is called, imported or built here, so that what a file may do is decided by
PyTorch's safe loading alone, as with any other file. What the opcodes mean: `pickletools`, PEP 3154 (protocol 4) and
PEP 574 (protocol 5).
"""

from __future__ import annotations

import io
import pickle
import pickletools
import struct
import zipfile
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from pathlib import Path

_UNDERSTOOD = 2
# The old format of torch.save is five pickles and the raw storages after them.
_PICKLES_OF_OLD_FORMAT = 5
_TEXTS = ("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8")
_BYTES = ("SHORT_BINBYTES", "BINBYTES", "BINBYTES8")
_LONGEST_TEXT = (1 << 32) - 1
# A set becomes a list and a frozen one a tuple, for neither holds weights that anybody asks for.
_COUNTERPARTS = {
    "PROTO": pickle.PROTO + bytes([_UNDERSTOOD]),
    "EMPTY_SET": pickle.EMPTY_LIST,
    "ADDITEMS": pickle.APPENDS,
    "FROZENSET": pickle.TUPLE,
}


def understood_by_torch(path: Path) -> Path | BinaryIO:
    """Returns what torch wrote in protocol 2: the file itself if it is in that, else a copy in memory.

    Raises:
        pickle.UnpicklingError: Names in it are not written out, as every pickler does.
        ValueError: It is damaged; so do `EOFError` and `zipfile.BadZipFile` say.
    """
    with path.open("rb") as file:
        head = file.read(4)
        file.seek(0)
        if head.startswith(b"PK"):
            return _zip_in_protocol_2(file, path.stat().st_size) or path
        if _protocol(head) <= _UNDERSTOOD:
            return path
        copy = io.BytesIO()
        for _ in range(_PICKLES_OF_OLD_FORMAT):
            copy.write(in_protocol_2(file))
        copy.write(file.read())
        copy.seek(0)
        return copy


def in_protocol_2(file: BinaryIO) -> bytes:
    """Returns the next pickle of a file in protocol 2 and leaves the file after it.

    Opcodes without a counterpart stay as they are, for PyTorch to refuse.

    Raises:
        pickle.UnpicklingError: Names in it are not written out, as every pickler does.
        ValueError: It is damaged.
    """
    start = file.tell()
    opcodes = [(opcode.name, argument, (place or 0) - start) for opcode, argument, place in pickletools.genops(file)]
    size = file.tell() - start
    file.seek(start)
    content = file.read(size)
    translation = _Translation()
    for (name, argument, here), (_, _, there) in pairwise([*opcodes, ("", None, size)]):
        translation.add(name, argument, content[here:there])
    return b"".join(chunk.code for chunk in translation.chunks)


@dataclass(slots=True)
class _Chunk:
    """What pushes one value, or does anything else: opcodes, the text if that is the value, and where it is kept."""

    code: bytes
    text: str | None = None
    kept_at: list[int] = field(default_factory=list)


class _Translation:
    """Opcodes of protocol 2 that leave the same values.

    Protocol 4 pushes the two texts that name a class or function and keeps them in the memo, protocol 2 has them in one
    opcode. So the pushes are taken back, and a text that is wanted again later is pushed and kept at that time.
    """

    def __init__(self) -> None:
        self.chunks: list[_Chunk] = []
        self._memo: dict[int, str | None] = {}
        self._taken_back: set[int] = set()

    def add(self, name: str, argument: Any, code: bytes) -> None:
        """Adds the counterpart of an opcode, given by its name, its argument and its bytes."""
        if name == "FRAME":
            return
        if name == "MEMOIZE":
            self._keep(len(self._memo))
        elif name in ("BINPUT", "LONG_BINPUT"):
            self._keep(argument)
        elif name in ("BINGET", "LONG_BINGET"):
            self._push_kept(argument)
        elif name == "STACK_GLOBAL":
            self._name()
        elif name in _TEXTS:
            self.chunks.append(_Chunk(_text(argument), argument))
        elif name in _BYTES:
            self.chunks.append(_Chunk(_bytes(argument)))
        elif name == "BYTEARRAY8":
            array = pickle.GLOBAL + b"builtins\nbytearray\n" + _bytes(bytes(argument)) + pickle.TUPLE1 + pickle.REDUCE
            self.chunks.append(_Chunk(array))
        else:
            self.chunks.append(_Chunk(_COUNTERPARTS.get(name, code)))

    def _keep(self, place: int) -> None:
        chunk = self.chunks[-1]
        chunk.code += pickle.LONG_BINPUT + struct.pack("<I", place)
        chunk.kept_at.append(place)
        self._memo[place] = chunk.text
        self._taken_back.discard(place)

    def _push_kept(self, place: int) -> None:
        text = self._memo.get(place)
        if place not in self._taken_back or text is None:
            self.chunks.append(_Chunk(pickle.LONG_BINGET + struct.pack("<I", place), text))
            return
        self.chunks.append(_Chunk(_text(text), text))
        self._keep(place)

    def _name(self) -> None:
        texts = []
        for _ in range(2):
            chunk = self.chunks.pop() if self.chunks else _Chunk(b"")
            if chunk.text is None or "\n" in chunk.text:
                raise pickle.UnpicklingError("Unsupported operand: STACK_GLOBAL of what is no name")
            texts.append(chunk.text)
            self._taken_back.update(chunk.kept_at)
        name, module = texts
        self.chunks.append(_Chunk(pickle.GLOBAL + f"{module}\n{name}\n".encode()))


def _zip_in_protocol_2(file: BinaryIO, size: int) -> BinaryIO | None:
    """Returns a copy of an archive whose pickle is in protocol 2; None if it is in that already."""
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        pickles = [entry for entry in entries if entry.filename.rpartition("/")[-1] == "data.pkl"]
        if all(_protocol(archive.open(entry).read(2)) <= _UNDERSTOOD for entry in pickles):
            return None
        if sum(entry.file_size for entry in entries) > size:  # torch packs nothing, and a bomb is unpacked by nobody
            raise zipfile.BadZipFile("more in it than its size allows")
        copy = io.BytesIO()
        with zipfile.ZipFile(copy, "w") as rewritten:
            for entry in entries:
                content = archive.read(entry)
                rewritten.writestr(entry.filename, in_protocol_2(io.BytesIO(content)) if entry in pickles else content)
    copy.seek(0)
    return copy


def _protocol(head: bytes) -> int:
    return head[1] if head[:1] == pickle.PROTO and len(head) > 1 else 0


def _text(text: str) -> bytes:
    encoded = text.encode("utf-8", "surrogatepass")
    if len(encoded) > _LONGEST_TEXT:
        raise pickle.UnpicklingError("Unsupported operand: a text of more than 4 GiB")
    return pickle.BINUNICODE + struct.pack("<I", len(encoded)) + encoded


def _bytes(content: bytes) -> bytes:
    """Returns what protocol 2 makes of bytes: a call of `codecs.encode`, which PyTorch allows."""
    encoded = _text(content.decode("latin1")) + _text("latin1")
    return pickle.GLOBAL + b"_codecs\nencode\n" + encoded + pickle.TUPLE2 + pickle.REDUCE
