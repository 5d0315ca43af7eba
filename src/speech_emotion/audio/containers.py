"""Sound files from the outside: which format the first bytes show, and whether the file is complete.

Decoders trust the sizes in a header and read what is there. Whether a file was cut, continues after what
its header covers, or never got its sizes written is seen here only, for all readers.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO, Final

__all__ = ["Extent", "PatchedFile", "describe_content", "measure_extent", "skip_tags"]

HEAD_BYTES: Final = 4096
"""Bytes from the beginning of a file that show its format."""

NEVER_WRITTEN: Final = 0x7FFF0000
"""Sizes from here on are placeholders of programs that write into a pipe, if the file is smaller."""

W64_GUID: Final = bytes.fromhex("2e91cf11a5d628db04c10000")
DECODED_TAGS: Final = (
    0x0001,
    0x0002,
    0x0003,
    0x0006,
    0x0007,
    0x0011,
    0x0031,
    0x0038,
    0x0055,
    0xFFFE,
)
"""Codecs in WAV files that libsndfile decodes; it does so for some variants of 0x0064, too."""

TAGS: Final = {
    **dict.fromkeys((0x0014, 0x0042, 0x0111, 0x0123), "G.723.1"),
    **dict.fromkeys((0x0045, 0x0064, 0x0125, 0x0140), "G.726"),
    **dict.fromkeys((0x0083, 0x0133), "G.729"),
    **dict.fromkeys((0x0065, 0x028F), "G.722"),
    **dict.fromkeys((0x00FF, 0x1600, 0x1610), "AAC"),
    **dict.fromkeys((0x0160, 0x0161, 0x0162, 0x0163), "WMA"),
    **dict.fromkeys((0x0057, 0x7A21, 0x7A22), "AMR"),
    0x0022: "TrueSpeech",
    0x0200: "Creative ADPCM",
    0xA109: "Speex",
}
"""Further codecs of telephone systems in WAV files."""

SIGNATURES: Final = (
    (0, b"RIFF", "RIFF"),
    (0, b"RF64", "WAV (RF64)"),
    (0, b"RIFX", "WAV (RIFX)"),
    (0, b"FORM", "AIFF"),
    (0, b"fLaC", "FLAC"),
    (0, b"OggS", "Ogg"),
    (0, b"ID3", "MP3"),
    (0, b"riff" + W64_GUID, "Wave64"),
    (0, b"caff", "CAF"),
    (0, b".snd", "AU"),
    (0, b"NIST_1A", "NIST Sphere"),
    (0, b"Creative Voice File", "VOC"),
    (4, b"ftyp", "MP4 or M4A"),
    (4, b"moov", "QuickTime"),
    (4, b"mdat", "QuickTime"),
    (0, b"\x1a\x45\xdf\xa3", "WebM or Matroska"),
    (0, b"#!AMR", "AMR"),
    (0, bytes.fromhex("3026b2758e66cf11"), "WMA or WMV"),
    (0, b"FLV\x01", "Flash video"),
    (0, b"\x00\x00\x01\xba", "MPEG video"),
    (0, b"wvpk", "WavPack"),
    (0, b"PK\x03\x04", "a ZIP archive or an Excel workbook"),
    (0, b"%PDF", "a PDF document"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"7z\xbc\xaf", "a 7z archive"),
    (0, b"Rar!", "a RAR archive"),
    (0, b"\xff\xd8\xff", "a JPEG image"),
    (0, b"\x89PNG", "a PNG image"),
)


def describe_content(head: bytes) -> str:
    """Return the format that the first bytes of a file show, for people; empty if it is unknown.

    Example:
        >>> describe_content(b"OggS" + bytes(60)), describe_content(b"Dear Sirs, please find ...")
        ('Ogg', 'text')
    """
    for offset, signature, name in SIGNATURES:
        if head[offset:].startswith(signature):
            if name == "RIFF":
                return {b"WAVE": "WAV", b"AVI ": "AVI video"}.get(head[8:12], "RIFF")
            return name
    if len(head) > 2 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
        return "AAC (ADTS)"
    if is_mpeg_frame(head):
        return "MP3"
    printable = sum(32 <= byte < 127 or byte in b"\t\n\r" for byte in head)
    return "text" if head and printable > 0.97 * len(head) else ""


def is_mpeg_frame(head: bytes) -> bool:
    """Return whether bytes begin like a frame of MPEG audio."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    bit_rate, rate = head[2] >> 4, head[2] >> 2 & 3
    return version != 1 and layer != 0 and bit_rate != 15 and rate != 3


@dataclass(frozen=True)
class Extent:
    """How much sound a file holds, and how much its header declares.

    Attributes:
        found: Bytes of encoded sound in the file.
        declared: Bytes by the header; ``None`` if it does not say.
        follows: Bytes after the declared sound that belong to nothing, so probably sound.
        patch: Bytes of a header that has to be replaced so that decoders read the sound, by position.
        estimated: Whether decoders can only estimate the length.
        broken: Why the file is not whole; empty if it is, or if that cannot be known.
        codec: Name of the codec in a WAV file if libsndfile has no decoder of it; else empty.
    """

    found: int = 0
    declared: int | None = None
    follows: int = 0
    patch: tuple[tuple[int, bytes], ...] = ()
    estimated: bool = False
    broken: str = ""
    codec: str = ""


def measure_extent(file: BinaryIO, size: int) -> Extent:
    """Compare what the header of a sound file declares with the file.

    Args:
        file: The file, at any position; it is left at any position.
        size: Its size in bytes.

    Returns:
        The extent; without declaration for formats whose header has none, and for any other file.
    """
    try:
        return _measured(file, size)
    except struct.error:
        return Extent(size, broken="its header is cut")


def _measured(file: BinaryIO, size: int) -> Extent:
    file.seek(0)
    head = file.read(HEAD_BYTES)
    layout = next((known for start, known in LAYOUTS.items() if head.startswith(start)), None)
    if layout is not None:
        return _chunked(file, size, layout)
    if head[:4] == b".snd" and len(head) >= 12:
        start, length = struct.unpack(">II", head[4:12])
        return Extent(max(size - start, 0), None if length >= NEVER_WRITTEN else length)
    if head[:4] == b"OggS":
        return _ogg(file, size, head)
    if head[:3] == b"ID3" or is_mpeg_frame(head):
        return _mpeg(file, size)
    return Extent()


@dataclass(frozen=True)
class _Chunks:
    """Layout of a file of chunks.

    Attributes:
        header: Format of a chunk's name and size.
        start: Position of the first chunk.
        alignment: Chunks start at multiples of it.
        data: Name of the chunk with the sound.
        inclusive: Bytes of the chunk's header that its size includes.
    """

    header: str
    start: int
    alignment: int
    data: bytes
    inclusive: int = 0

    def walk(self, file: BinaryIO, position: int, end: int) -> Iterator[tuple[bytes, int, int]]:
        """Yield name, position of the content and size of chunk after chunk."""
        length = struct.calcsize(self.header)
        while position < end:
            file.seek(position)
            head = file.read(length)
            if len(head) < length:
                return
            name, size = struct.unpack(self.header, head)
            size -= self.inclusive
            if size < 0:
                return
            yield name, position + length, size
            position += length + size
            position += -position % self.alignment


LAYOUTS: Final = {
    b"RIFF": _Chunks("<4sI", 12, 2, b"data"),
    b"RF64": _Chunks("<4sI", 12, 2, b"data"),
    b"RIFX": _Chunks(">4sI", 12, 2, b"data"),
    b"FORM": _Chunks(">4sI", 12, 2, b"SSND"),
    b"caff": _Chunks(">4sQ", 8, 1, b"data"),
    b"riff" + W64_GUID: _Chunks("<4s12xQ", 40, 8, b"data", inclusive=24),
}
"""Layouts of files of chunks, by their first bytes."""


def _chunked(file: BinaryIO, size: int, layout: _Chunks) -> Extent:
    long_size, codec = None, ""
    for name, start, length in layout.walk(file, layout.start, size):
        if name == b"ds64":
            file.seek(start + 8)
            long_size = int.from_bytes(file.read(8), "little")
        if name == b"fmt " and layout.header == "<4sI":
            file.seek(start)
            tag = int.from_bytes(file.read(2), "little")
            codec = "" if tag in DECODED_TAGS else TAGS.get(tag, f"codec {tag:#06x}")
        if name == layout.data:
            declared = length
            if long_size is not None and length == 0xFFFFFFFF:
                declared = long_size
            return replace(_data_chunk(file, size, layout, start, declared), codec=codec)
    return Extent(codec=codec)


def _data_chunk(file: BinaryIO, size: int, layout: _Chunks, start: int, declared: int) -> Extent:
    found = size - start
    if declared > found:
        placeholder = declared >= NEVER_WRITTEN and layout.header != "<4s12xQ"
        return Extent(found, None if placeholder else declared)
    end = start + declared
    if end == size or _is_filled(file, layout, end, size):
        return Extent(declared, declared)
    if declared == 0:
        width = struct.calcsize(layout.header) - 4
        if width == 4:  # a recorder that was stopped before it wrote the sizes
            order = "<" if layout.header[0] == "<" else ">"
            value = struct.pack(f"{order}I", min(found, 0xFFFFFFFF))
            return Extent(found, None, patch=((start - 4, value),))
    return Extent(declared, declared, follows=size - end)


def _is_filled(file: BinaryIO, layout: _Chunks, end: int, size: int) -> bool:
    """Return whether what follows the sound is another chunk, a tag or padding."""
    file.seek(end)
    after = file.read(1 << 16)
    if not after.strip(b"\0") or after.lstrip(b"\0")[:3] in (b"ID3", b"TAG"):
        return True
    # Some programs do not pad a chunk of odd length.
    for position in (end + -end % layout.alignment, end):
        for name, start, length in layout.walk(file, position, size):
            named = name.isascii() and name.decode().isprintable()
            if named and start + length <= size + layout.alignment:
                return True
            break
    return False


def skip_tags(file: BinaryIO) -> int:
    """Return the position of the first byte after the ID3 tags at the beginning of a file."""
    position = 0
    while True:
        file.seek(position)
        head = file.read(10)
        if len(head) < 10 or head[:3] != b"ID3":
            return position
        length = 0
        for byte in head[6:10]:
            length = length << 7 | byte & 0x7F
        position += 10 + length


def _mpeg(file: BinaryIO, size: int) -> Extent:
    """Read the Xing header, which gives frames and bytes of a stream; encoders leave it out in pipes."""
    start = skip_tags(file)
    file.seek(start)
    head = file.read(HEAD_BYTES)
    at = max(head[:256].find(b"Xing"), head[:256].find(b"Info"))
    if at < 0:
        return Extent(size - start, estimated=b"VBRI" not in head[:64])
    (flags,) = struct.unpack(">I", head[at + 4 : at + 8])
    if flags & 3 != 3:
        return Extent(size - start, estimated=not flags & 1)
    (declared,) = struct.unpack(">I", head[at + 12 : at + 16])
    end = start + declared
    file.seek(min(end, size))
    after = file.read(HEAD_BYTES)
    # The byte count of some encoders leaves the frame with the header out.
    follows = size - end if len(after) > 2000 and _resumes(after) else 0
    return Extent(size - start, follows=follows)


def _resumes(after: bytes) -> bool:
    """Return whether frames, or a file that was appended, begin within some bytes."""
    if after.startswith((b"TAG", b"APETAGEX", b"LYRICS")) or not after.strip(b"\0"):
        return False
    return after.startswith(b"ID3") or any(is_mpeg_frame(after[at : at + 4]) for at in range(1500))


def _ogg(file: BinaryIO, size: int, head: bytes) -> Extent:
    """Check that the last page is whole, and that it belongs to the stream of the first one."""
    file.seek(max(size - (1 << 16) - 1024, 0))
    tail = file.read()
    page = tail[max(tail.rfind(b"OggS"), 0) :]
    lacing = page[27 : 27 + page[26]] if len(page) > 27 else b""
    if not lacing or len(page) < 27 + page[26] + sum(lacing):
        return Extent(size, broken="its last page is not whole")
    if page[14:18] != head[14:18]:
        return Extent(size, broken="it holds several streams, one after the other")
    return Extent(size)


class PatchedFile(io.RawIOBase):
    """A file of which some bytes are replaced, or that seems to have no end.

    Args:
        file: The file.
        patch: Bytes that replace those of the file, by position.
        endless: Whether decoders that ask for the size are told an enormous one, so that those that
            estimate the length from it do not stop before the end.
    """

    def __init__(
        self, file: BinaryIO, patch: tuple[tuple[int, bytes], ...] = (), *, endless: bool = False
    ):
        self._file, self._patch, self._endless = file, patch, endless
        self._pretended: int | None = None
        self._fill = None if patch else getattr(file, "readinto", None)
        file.seek(0)

    def readable(self) -> bool:
        """Return true."""
        return True

    def seekable(self) -> bool:
        """Return true."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Read bytes as they are after the replacement."""
        if self._pretended is not None:  # decoders look for tags at the end
            size = ENDLESS - self._pretended if size < 0 else min(size, ENDLESS - self._pretended)
            self._pretended += size
            return bytes(size)
        position = self._file.tell()
        content = self._file.read(size)
        for at, replacement in self._patch:
            first, last = max(at, position), min(at + len(replacement), position + len(content))
            if first < last:
                middle = replacement[first - at : last - at]
                content = content[: first - position] + middle + content[last - position :]
        return content

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read bytes into a buffer."""
        if self._fill is not None and self._pretended is None:
            return int(self._fill(buffer))
        content = self.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Set the position."""
        self._pretended = None
        if whence == io.SEEK_END and self._endless:
            self._pretended = ENDLESS + min(offset, 0)
        else:
            self._file.seek(offset, whence)
        return self.tell()

    def tell(self) -> int:
        """Return the position."""
        return self._file.tell() if self._pretended is None else self._pretended


ENDLESS: Final = 1 << 40
