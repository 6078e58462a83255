"""Files that are small on disk and large when they are opened; and a process that opens them and says what that took."""

import gzip
import io
import json
import os
import resource
import struct
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

MIB = 2**20
CAP = 3 * 1024 * MIB
"""Memory that the process may take at most, so that a bomb that goes off harms nobody."""
ZEROS = bytes(MIB)


def packed(part: bytes, times: int, wbits: int = zlib.MAX_WBITS, head: bytes = b"") -> bytes:
    """A deflate stream of `head`, and of some bytes many times: packed once, since a full flush makes them stand alone."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    first = packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH)
    one = packer.compress(part) + packer.flush(zlib.Z_FULL_FLUSH)
    stream = first + one * times + packer.flush()
    if wbits < 0:
        return stream
    check, n = (zlib.crc32, 0) if wbits > zlib.MAX_WBITS else (zlib.adler32, 1)
    for piece, repeats in ((head, 1), (part, times)):
        for _ in range(repeats):
            n = check(piece, n)
    if wbits > zlib.MAX_WBITS:
        length = (len(head) + times * len(part)) % 2**32
        return b"\x1f\x8b\x08" + bytes(6) + b"\xff" + stream + struct.pack("<II", n, length)
    return b"\x78\xda" + stream + struct.pack(">I", n)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(path: Path, width: int, height: int, bits: int, colour: int, *others: bytes) -> Path:
    """A PNG of black pixels, with other chunks before them."""
    channels = {0: 1, 2: 3, 3: 1, 6: 4}[colour]
    size = height * (1 + width * channels * bits // 8)
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    pixels = packed(ZEROS, size // MIB, head=bytes(size % MIB))
    parts = [chunk(b"IHDR", header), *others, chunk(b"IDAT", pixels), chunk(b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    return path


PALETTE = chunk(b"PLTE", bytes(3 * 256))


def png_text(path: Path) -> Path:
    return png(path, 64, 64, 8, 3, PALETTE, chunk(b"zTXt", b"a\0\0" + packed(ZEROS, 400)))


def png_profile(path: Path) -> Path:
    return png(path, 64, 64, 8, 3, chunk(b"iCCP", b"a\0\0" + packed(ZEROS, 400)), PALETTE)


def jpeg_scans(path: Path) -> Path:
    """A progressive JPEG whose last pass is repeated 500 times."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.effect_noise((256, 256), 80).save(buffer, "JPEG", progressive=True)
    data = buffer.getvalue()
    last = data.rfind(b"\xff\xda")
    path.write_bytes(data[:last] + data[last:-2] * 500 + data[-2:])
    return path


def dicom(path: Path, syntax: str, body: bytes, tail: bytes = b"") -> Path:
    """A DICOM file of this transfer syntax: file meta, then `body` as it is."""
    import pydicom

    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
    meta.MediaStorageSOPClassUID = pydicom.uid.UID("1.2.840.10008.5.1.4.1.1.1.1")
    meta.MediaStorageSOPInstanceUID = pydicom.uid.UID("1.2.3")
    file = io.BytesIO()
    empty = pydicom.FileDataset(file, {}, preamble=b"\0" * 128, file_meta=meta)
    pydicom.dcmwrite(file, empty, enforce_file_format=True)
    head = file.getvalue()
    path.write_bytes(head[: 132 + 12 + struct.unpack_from("<I", head, 140)[0]] + body + tail)
    return path


def header(rows: int, columns: int, bits: int = 16) -> bytes:
    """Elements of a grey picture, explicit little endian, up to its pixels."""

    def element(number: int, kind: bytes, value: bytes) -> bytes:
        return struct.pack("<HH2sH", 0x28, number, kind, len(value)) + value

    def short(number: int, value: int) -> bytes:
        return element(number, b"US", struct.pack("<H", value))

    return b"".join(
        [
            *(short(0x02, 1), element(0x04, b"CS", b"MONOCHROME2 "), short(0x10, rows), short(0x11, columns)),
            *(
                short(0x100, bits),
                short(0x101, min(bits, 12)),
                short(0x102, min(bits, 12) - 1),
                short(0x103, 0),
            ),
        ]
    )


def packed_pixels(frame: bytes) -> bytes:
    """The pixels element of one encapsulated frame."""
    frame += b"\0" * (len(frame) % 2)
    start = struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OB", 0, 0xFFFFFFFF)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0) + struct.pack("<HHI", 0xFFFE, 0xE000, len(frame))
    return start + item + frame + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


def dicom_deflated(path: Path) -> Path:
    """400 MiB of pixels in 0.4 MB."""
    pixels = struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OW", 0, 400 * MIB)
    return dicom(path, "1.2.840.10008.1.2.1.99", packed(ZEROS, 400, -zlib.MAX_WBITS, header(64, 64) + pixels))


def dicom_runs(path: Path) -> Path:
    """4 MiB of run lengths that become 256 MiB, in a picture of 64 × 64."""
    runs = struct.pack("<16L", 1, 64, *[0] * 14) + b"\x81\x00" * (2 * MIB)
    return dicom(path, "1.2.840.10008.1.2.5", header(64, 64, 8) + packed_pixels(runs))


def dicom_jpeg(path: Path) -> Path:
    """A JPEG of 8000 × 8000 in a picture of 64 × 64."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("L", (8000, 8000)).save(buffer, "JPEG")
    return dicom(path, "1.2.840.10008.1.2.4.51", header(64, 64, 8) + packed_pixels(buffer.getvalue()))


def dicom_tiles(path: Path) -> Path:
    """The head of a JPEG 2000 picture in 16 million tiles."""
    size = struct.pack(">HHIIIIIIIIH", 41, 0, 4096, 4096, 0, 0, 1, 1, 0, 0, 1) + b"\x07\x01\x01"
    frame = b"\xff\x4f\xff\x51" + size + b"\xff\xd9"
    return dicom(path, "1.2.840.10008.1.2.4.90", header(4096, 4096, 8) + packed_pixels(frame))


def dicom_nothing(path: Path) -> Path:
    """A picture that says to have 65,535 × 65,535 pixels of 64 bits, and has none."""
    pixels = struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OW", 0, 0)
    return dicom(path, "1.2.840.10008.1.2.1", header(65535, 65535, 64) + pixels)


def gzipped(path: Path, part: bytes, times: int, head: bytes = b"") -> Path:
    path.write_bytes(packed(part, times, zlib.MAX_WBITS | 16, head))
    return path


def gzip_members(path: Path) -> Path:
    path.write_bytes(gzip.compress(b"image_id,path\n") + gzip.compress(b"a,b\n" * (MIB // 4)) * 300)
    return path


def zip_bomb(path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("labels.csv", "w") as file:
        for _ in range(300):
            file.write(b"a,b\n" * (MIB // 4))
    return path


def tar_member(path: Path) -> Path:
    """Its first file says that it has 10 GB; nothing of it is there."""
    member = tarfile.TarInfo("report.bin")
    member.size = 10 * 2**30
    path.write_bytes(gzip.compress(member.tobuf() + bytes(10240)))
    return path


def tar_skipped(path: Path) -> Path:
    """400 MiB of something else before the first report: passed over, but unpacked for that."""
    member = tarfile.TarInfo("other.bin")
    member.size = 400 * MIB
    return gzipped(path, ZEROS, 400, member.tobuf())


def tar_header(path: Path) -> Path:
    """A header of a header: a name of 400 MiB."""
    member = tarfile.TarInfo("././@LongLink")
    member.type, member.size = tarfile.GNUTYPE_LONGNAME, 400 * MIB
    return gzipped(path, b"a" * MIB, 400, member.tobuf())


def parquet_rows(path: Path) -> Path:
    """1.1 billion cells of nothing in a few kB."""
    import pyarrow as pa
    from pyarrow import parquet

    column = pa.nulls(2**22, pa.int8())
    with parquet.ParquetWriter(path, pa.schema([(f"c{n}", pa.int8()) for n in range(17)])) as writer:
        for _ in range(17):
            writer.write_table(pa.table({f"c{n}": column for n in range(17)}))
    return path


def parquet_texts(path: Path) -> Path:
    """A name of 1 MB, 100,000 times."""
    import pyarrow as pa
    from pyarrow import parquet

    names = pa.DictionaryArray.from_arrays(pa.array([0] * 100_000, pa.int32()), pa.array(["a" * 1_000_000]))
    table = pa.table({"image": names}, pa.schema([("image", pa.dictionary(pa.int32(), pa.string()))]))
    parquet.write_table(table, path, compression="zstd", store_schema=False)
    return path


def line(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def report(path: Path, data: bytes) -> Path:
    """A folder of reports: this one, and a sound one, so that the dataset is not empty."""
    path.mkdir()
    (path / "1.xml").write_bytes(data)
    (path / "2.xml").write_text('<e><uId id="CXR2"/><parentImage id="CXR2_a"/></e>')
    return path


def looping(path: Path) -> Path:
    """A model in ONNX whose loop goes on for ever."""
    import numpy
    import onnx

    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    yes = numpy_helper.from_array(numpy.array(True), "yes")
    body = helper.make_graph(
        [helper.make_node("Identity", ["on"], ["on_out"]), helper.make_node("Sin", ["v"], ["v_out"])],
        "body",
        [
            helper.make_tensor_value_info("i", 7, []),
            helper.make_tensor_value_info("on", 9, []),
            helper.make_tensor_value_info("v", 1, None),
        ],
        [helper.make_tensor_value_info("on_out", 9, []), helper.make_tensor_value_info("v_out", 1, None)],
    )
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["m"], axes=[2, 3], keepdims=0),
        helper.make_node("Loop", ["", "yes", "m"], ["y"], body=body),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", 1, ["n", 1, 8, 8])],
        [helper.make_tensor_value_info("y", 1, ["n", 1])],
        [yes],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


DTD = b'<?xml version="1.0"?><!DOCTYPE e [%s]><e><uId id="&b;"/></e>'
LAUGHS = b'<!ENTITY a0 "aaaaaaaaaa">' + b"".join(
    b'<!ENTITY a%d "%s">' % (n, b"&a%d;" % (n - 1) * 10) for n in range(1, 10)
)

PICTURES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "deflated DICOM": (dicom_deflated, "inflate to more than"),
    "run lengths": (dicom_runs, "run lengths are of more than the 4096 bytes"),
    "JPEG in DICOM": (dicom_jpeg, "is 8000 × 8000, the header says 64 × 64"),
    "JPEG 2000 in tiles": (dicom_tiles, "has 16777216 tiles; at most 4096"),
    "DICOM without pixels": (dicom_nothing, "65535 × 65535 is larger than"),
    "PNG of 16-bit colour": (lambda p: png(p, 8192, 8192, 16, 6), "at most 128.0 MiB"),
    "PNG of one grey": (lambda p: png(p, 8192, 8192, 16, 0), "more than 250 times"),
    "PNG with a palette": (lambda p: png(p, 8192, 8192, 8, 3, PALETTE), "more than 250 times"),
    "text in PNG": (png_text, "too large"),
    "profile in PNG": (png_profile, ""),  # left out unread
    "scans of a JPEG": (jpeg_scans, "scans; at most 100"),
}
TABLES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "gzip": (
        lambda p: gzipped(p, b"a,b\n" * (MIB // 4), 300, b"image_id,path\n"),
        "unpack to more than 16.0 MiB",
    ),
    "gzip of many members": (gzip_members, "unpack to more than"),
    "gzip of line ends": (lambda p: gzipped(p, b"\n" * MIB, 15, b"image_id,path\n"), "a table has fields"),
    "zip": (zip_bomb, "unpack to more than"),
    "one line": (lambda p: line(p, b"a," * (5 * MIB)), "a line of more than 4.0 MiB"),
    "columns": (lambda p: line(p, b"a," * MIB + b"\n"), "columns; at most 10,000"),
    "open quote": (lambda p: line(p, b'"a,b' + b"\n" * 900_000), "never closed"),
}
SCORES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "Parquet of rows": (parquet_rows, "cells; at most"),
    "Parquet of texts": (parquet_texts, "more than 192.0 MiB beyond what it says"),
}
REPORTS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "tar of 10 GB": (tar_member, "10.0 GiB"),
    "tar, passed over": (tar_skipped, "unpack to more than 16.0 MiB"),
    "tar, a long name": (tar_header, "an entry of 400.0 MiB"),
}
ENTITIES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "entities within entities": (
        lambda p: report(p, DTD % (LAUGHS + b'<!ENTITY b "&a9;">')),
        "it declares entities",
    ),
    "another file": (
        lambda p: report(p, DTD % b'<!ENTITY b SYSTEM "file:///etc/hostname">'),
        "it declares entities",
    ),
    "in UTF-16": (lambda p: report(p, (DTD % LAUGHS).decode().encode("utf-16")), "it declares entities"),
    "elements within elements": (
        lambda p: report(p, b"<e>" * MIB),
        "more than 100 elements within each other",
    ),
    "a long report": (lambda p: report(p, b"<e>" + b" " * (5 * MIB) + b"</e>"), "at most 4.0 MiB"),
}
NAMES = {
    "picture": "x.bin",
    "table": "x.csv",
    "scores": "x.parquet",
    "reports": "NLMCXR_reports.tgz",
    "entities": "ecgen",
}
BOMBS: dict[str, tuple[str, Callable[[Path], Path], str]] = {
    name: (kind, make, refusal)
    for kind, bombs in (
        *(("picture", PICTURES), ("table", TABLES), ("scores", SCORES)),
        *(("reports", REPORTS), ("entities", ENTITIES)),
    )
    for name, (make, refusal) in bombs.items()
}


def open_file(kind: str, path: Path) -> str:
    """What is said of a file; of reports, why the first was set aside."""
    from xray.data import score_files
    from xray.data.sources.csvfile import read_csv
    from xray.data.sources.openi import read_openi
    from xray.errors import XrayError
    from xray.pixels.decode import read_grey

    try:
        if kind == "picture":
            read_grey(path)
        elif kind == "table":
            read_csv(path)
        elif kind == "scores":
            score_files._read(path)
        else:
            return "; ".join(entry.reason for entry in read_openi(path, None).quarantine)
    except XrayError as error:
        return str(error)
    return ""


def tell(kind: str, path: Path) -> tuple[str, int, float]:
    """In a process of its own: what is said, by how many bytes the memory has grown, and the seconds of CPU."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    try:
        reason = open_file(kind, path)
    except BaseException as error:
        reason = f"{type(error).__name__}: {error}"
    after = resource.getrusage(resource.RUSAGE_SELF)
    return reason, (after.ru_maxrss - before.ru_maxrss) * 1024, after.ru_utime - before.ru_utime


def main(folder: Path) -> None:
    """Open each bomb in a fork, so that nothing has to be imported twice, and none sees another's memory."""
    import pyarrow.parquet  # noqa: F401
    import pydicom  # noqa: F401

    import xray.data.score_files
    import xray.data.sources.openi
    import xray.pixels.decode  # noqa: F401

    resource.setrlimit(resource.RLIMIT_DATA, (CAP, CAP))
    for name, (kind, _, _) in BOMBS.items():
        path = folder / name / NAMES[kind]
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            os.write(writer, json.dumps([name, *tell(kind, path)]).encode())
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader, "rb") as answer:
            output = answer.read() or json.dumps([name, "killed", CAP, 0.0]).encode()
        os.waitpid(child, 0)
        sys.stdout.write(output.decode() + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
