"""Reports in XML, from a folder or an archive: each small, and without entities that expand."""

import gzip
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any
from xml.etree import ElementTree
from xml.parsers import expat

from xray import limits
from xray.errors import DataError


def read_reports(reports: Path) -> Iterator[tuple[str, bytes | str]]:
    """Name and content of every report of a folder, or of a tar archive (plain or gzip); the reason where one can't be read.

    Raises `DataError` where the archive can't be read, or holds more than the bounds allow. A link in an archive is not
    followed.
    """
    if reports.is_dir():
        for path in sorted(reports.glob("*.xml")):
            yield path.name, _read(path)
        return
    try:
        with limits.open_file(reports) as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            yield from _members(reports, file, packed)
    except (tarfile.TarError, OSError, EOFError, zlib.error) as failure:
        reason = failure.strerror if isinstance(failure, OSError) else None
        raise DataError(f"{reports}: can't be read: {reason or failure}") from failure


def _read(path: Path) -> bytes | str:
    try:
        with limits.open_file(path) as file:
            data = file.read(limits.REPORT + 1)
        limits.check_bytes(len(data), limits.REPORT, "too large for a report", DataError)
    except DataError as failure:
        return str(failure)
    except OSError as failure:
        return f"can't be read: {failure.strerror or failure}"
    return data


def _members(reports: Path, file: IO[bytes], packed: bool) -> Iterator[tuple[str, bytes | str]]:
    """The reports of an archive. What is passed over on the way is unpacked too, and counts."""
    unpacked: Any = gzip.GzipFile(fileobj=file) if packed else file
    stream: Any = limits.Unpacking(
        unpacked, file.tell, limits.TABLE, str(reports), DataError, at_once=limits.REPORT
    )
    with tarfile.open(fileobj=stream, mode="r:") as archive:
        for number, member in enumerate(archive):
            if number >= limits.MEMBERS:
                raise DataError(f"{reports}: an archive of more than {limits.MEMBERS:,} files")
            name = Path(member.name).name
            if not name.endswith(".xml") or name.startswith("."):
                continue
            if not member.isfile():
                yield name, "not a file in the archive but a link or the like"
                continue
            if member.size > limits.REPORT:
                yield (
                    name,
                    f"too large for a report: {limits.amount(member.size)}; at most "
                    f"{limits.amount(limits.REPORT)} are taken",
                )
                continue
            content = archive.extractfile(member)
            assert content is not None
            yield name, content.read()


def parse(data: bytes) -> ElementTree.Element:
    """The root of an XML text. Raises `DataError` where it is not XML, declares entities, or is nested too deeply.

    Entities can stand for any amount of text, or for other files; no report needs one of its own.
    """
    builder = ElementTree.TreeBuilder()
    depth = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > limits.DEPTH:
            raise DataError(f"not a report in XML: more than {limits.DEPTH} elements within each other")
        builder.start(name, attributes)

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(name)

    def declared(*about: object) -> None:
        raise DataError("not a report in XML: it declares entities, which may stand for anything")

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = builder.data
    parser.EntityDeclHandler = declared
    parser.ExternalEntityRefHandler = declared  # type: ignore[assignment]  # it never returns
    try:
        parser.Parse(data, True)
        return builder.close()
    except (expat.ExpatError, LookupError, ValueError, AssertionError) as failure:
        raise DataError(f"not a report in XML: {failure}") from None
