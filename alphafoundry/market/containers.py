"""From a path to the tables in it: files by their content, archives, folders."""

from __future__ import annotations

import lzma
import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any

from alphafoundry.errors import MarketError
from alphafoundry.market.binary_tables import read_arrow_file, read_parquet, read_workbook
from alphafoundry.market.json_tables import read_json_tables
from alphafoundry.market.tables import RawTable
from alphafoundry.market.text_tables import read_text_table

_PACKED = {".gz": "gzip", ".bz2": "bz2", ".xz": "xz", ".zst": "zstd"}
_TABLES = (
    *(".csv", ".tsv", ".txt", ".tab", ".dat", ".parquet", ".pq", ".feather", ".arrow", ".ipc"),
    *(".xlsx", ".xlsm", ".json", ".jsonl", ".ndjson", ".zip", ".us", ".asc"),
)
_NO_TABLES = re.compile(
    r"(readme|license|licence|notes?|metadata)\b|.*_sectors\.csv$|(?:.*_)?members\.csv$",
    re.IGNORECASE,
)
_UNREADABLE = (
    *(RuntimeError, NotImplementedError, ValueError, EOFError, OSError),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError),
)
"""What reading a damaged or encrypted archive raises."""
_MOST_BYTES = 32 << 30
_NESTING = 3
_TAIL = re.compile(
    r"(?: Historical Data.*|[-_ ](?:1d|daily|day|d1|eod|stock|prices?|history|historical|ohlcv)"
    r"|[-_ ]?(?:\d{4}(?:[-_]?\d{2}){0,2})(?:[-_ ](?:to[-_ ])?\d{4}(?:[-_]?\d{2}){0,2})?"
    r"|\.us|\(\d+\))$",
    re.IGNORECASE,
)
_LEAD = re.compile(
    r"^(?:daily|stock|history|historical|prices?)(?:_adjusted)?[-_ ](?=.)", re.IGNORECASE
)
_REFUSED: tuple[tuple[bytes, str], ...] = (
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook (.xls); save it as .xlsx or .csv"),
    (b"\x89HDF", "an HDF5 file; save its table as .parquet (pandas: frame.to_parquet)"),
    (b"\x80\x03", "a pickle, which is never read; save its table as .parquet"),
    (b"\x80\x04", "a pickle, which is never read; save its table as .parquet"),
    (b"\x80\x05", "a pickle, which is never read; save its table as .parquet"),
    (b"SQLite format 3", "an SQLite database; export the table as .csv or .parquet"),
    (b"%PDF", "a PDF; save the table as .csv or .xlsx"),
    (b"\x93NUMPY", "a NumPy array without dates and symbols; save a table as .parquet"),
    (b"Rar!", "a RAR archive; unpack it and give the folder"),
    (b"7z\xbc\xaf", "a 7z archive; unpack it and give the folder"),
    (b"ORC", "an ORC file; save its table as .parquet"),
)


@dataclass(frozen=True)
class Opened:
    """The tables of a path.

    Attributes
    ----------
    tables : in the order of their names
    many : whether the path holds several files, so that one that is no table may be left out
    ignored : files that were left out by their names
    """

    tables: tuple[RawTable, ...]
    many: bool
    ignored: tuple[str, ...]


def open_tables(path: Path, *, sheet: str | None = None) -> Opened:
    """Return the tables of a file, an archive or a folder; what a file is, its content tells.

    Parameters
    ----------
    path : .parquet, .feather, .csv and its kin, .json, .xlsx, packed or not, a .zip or a folder of
        them, also divided into folders such as symbol=AAPL
    sheet : of a workbook; None is every sheet that holds something

    Raises MarketError where nothing is there, where a file is damaged, or of a kind that is not
    read.
    """
    if path.is_dir():
        return _open_folder(path, sheet)
    if not path.is_file():
        raise MarketError(
            f"{path}: there is no such file; give a .parquet, .csv, .xlsx, .feather, .json or "
            ".zip, or a folder of them"
        )
    return _open_one(path, str(path), path.name, sheet, 0)


def files_of(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return (files of a folder that may hold tables, those that are left out), both sorted."""
    found: tuple[list[Path], list[Path]] = ([], [])
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not _hidden(path.relative_to(folder).parts):
            found[not _may_hold_table(path.name)].append(path)
    return found


def _open_folder(folder: Path, sheet: str | None) -> Opened:
    files, ignored = files_of(folder)
    if not files:
        raise MarketError(
            f"{folder}: there is no .parquet, .csv or other table in this folder; give one file "
            "for all symbols, or one for each"
        )
    tables: list[RawTable] = []
    left_out = [str(path.relative_to(folder)) for path in ignored]
    for path in files:
        relative = path.relative_to(folder)
        if not path.stat().st_size:
            left_out.append(f"{relative} (empty)")
            continue
        opened = _open_one(path, str(path), path.name, sheet, 0)
        given = _given(relative.parts[:-1])
        tables += [replace(table, given={**given, **table.given}) for table in opened.tables]
        left_out += opened.ignored
    if not tables:
        raise MarketError(f"{folder}: every file of this folder is empty")
    return Opened(tuple(tables), True, tuple(left_out))


def _open_one(
    content: Path | bytes, name: str, file_name: str, sheet: str | None, depth: int
) -> Opened:
    start = _start(content)
    packed = _unpacked(content, start, name)
    if packed is not None:
        if depth >= _NESTING:
            raise MarketError(f"{name}: packed into itself too often; unpack it first")
        inner = re.sub(r"\.(gz|bz2|xz|zst)$", "", file_name, flags=re.IGNORECASE)
        return _open_one(packed, name, inner, sheet, depth + 1)
    stem = stem_of(file_name)
    if start.startswith(b"PK\x03\x04") or start.startswith(b"PK\x05\x06"):
        return _open_archive(content, name, stem, sheet, depth)
    for magic, advice in _REFUSED:
        if start.startswith(magic):
            raise MarketError(f"{name}: this is {advice}")
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith(b"PAR1") or _claims(file_name, ".parquet", ".pq"):
        tables = [read_parquet(_stream(content), name=name, stem=stem)]
    elif start.startswith((b"ARROW1", b"FEA1")) or _claims(file_name, ".feather", ".arrow", ".ipc"):
        tables = [read_arrow_file(_stream(content), name=name, stem=stem)]
    elif text[:1] == b"<" and re.match(rb"<(!doctype|html|\?xml|table|head)", text, re.IGNORECASE):
        raise MarketError(
            f"{name}: this is a web page or XML, no table; was the download refused? Look at it "
            "in a browser, and save the table as .csv"
        )
    elif text[:1] in (b"{", b"["):
        tables = read_json_tables(_bytes(content), name=name, stem=stem)
    elif _claims(file_name, ".xlsx", ".xlsm"):
        raise MarketError(f"{name}: not a readable .xlsx file; save it again, or as .csv")
    else:
        tables = [read_text_table(_buffer(content), name=name, stem=stem)]
    return Opened(tuple(tables), False, ())


def stem_of(file_name: str) -> str:
    """Return what a file's name says of its symbol: AAPL of aapl_daily.csv stays as written."""
    stem = file_name
    while PurePosixPath(stem).suffix.lower() in (*_TABLES, *_PACKED):
        stem = PurePosixPath(stem).stem
    shorter = stem
    while (match := _TAIL.search(shorter)) and match.start():
        shorter = shorter[: match.start()]
    return _LEAD.sub("", shorter).strip() or stem


def _open_archive(
    content: Path | bytes, name: str, stem: str, sheet: str | None, depth: int
) -> Opened:
    try:
        archive = zipfile.ZipFile(_stream(content))
    except _UNREADABLE as error:
        raise MarketError(
            f"{name}: not a readable .zip or .xlsx file ({error}); was the download cut off?"
        ) from None
    with archive:
        members = archive.infolist()
        names = {member.filename for member in members}
        if "xl/workbook.xml" in names or "[Content_Types].xml" in names:
            return Opened(
                tuple(read_workbook(_stream(content), name=name, stem=stem, sheet=sheet)), False, ()
            )
        files = [member for member in members if not member.is_dir()]
        files = [member for member in files if not _hidden(PurePosixPath(member.filename).parts)]
        chosen = [member for member in files if _may_hold_table(member.filename)]
        left_out = [member.filename for member in files if member not in chosen]
        if not chosen or depth >= _NESTING:
            raise MarketError(f"{name}: there is no .csv, .parquet or other table in this archive")
        if sum(member.file_size for member in chosen) > _MOST_BYTES:
            raise MarketError(f"{name}: unpacked it is over 32 GiB; unpack it and give the folder")
        tables: list[RawTable] = []
        for member in sorted(chosen, key=lambda member: member.filename):
            if not member.file_size:
                left_out.append(f"{member.filename} (empty)")
                continue
            try:
                data = archive.read(member)
            except _UNREADABLE as error:
                raise MarketError(
                    f"{name}: {member.filename} cannot be unpacked ({error}); unpack the archive "
                    "and give the folder"
                ) from None
            parts = PurePosixPath(member.filename).parts
            opened = _open_one(data, f"{name}: {member.filename}", parts[-1], sheet, depth + 1)
            given = _given(parts[:-1])
            tables += [replace(table, given={**given, **table.given}) for table in opened.tables]
            left_out += opened.ignored
    if not tables:
        raise MarketError(f"{name}: every file of this archive is empty")
    return Opened(tuple(tables), len(chosen) > 1, tuple(left_out))


def _unpacked(content: Path | bytes, start: bytes, name: str) -> bytes | None:
    import pyarrow as pa

    codec = next(
        (
            codec
            for magic, codec in (
                (b"\x1f\x8b", "gzip"),
                (b"BZh", "bz2"),
                (b"\xfd7zXZ", "xz"),
                (b"\x28\xb5\x2f\xfd", "zstd"),
            )
            if start.startswith(magic)
        ),
        None,
    )
    if codec is None:
        return None
    try:
        if codec == "xz":
            return lzma.decompress(_bytes(content))
        with pa.CompressedInputStream(pa.BufferReader(_bytes(content)), codec) as stream:
            return bytes(stream.read())
    except (OSError, EOFError, pa.ArrowException, ValueError, lzma.LZMAError) as error:
        raise MarketError(
            f"{name}: the {codec} data are damaged ({error}); was the download cut off?"
        ) from None


def _given(folders: tuple[str, ...]) -> Mapping[str, str]:
    """Return the columns that folders such as symbol=AAPL give."""
    from urllib.parse import unquote

    pairs = (folder.split("=", 1) for folder in folders if "=" in folder)
    return {key.strip(): unquote(value) for key, value in pairs}


def _may_hold_table(file_name: str) -> bool:
    path = PurePosixPath(file_name.lower())
    return not _NO_TABLES.match(path.name) and any(
        suffix in _TABLES or suffix in _PACKED for suffix in path.suffixes[-2:]
    )


def _hidden(parts: tuple[str, ...]) -> bool:
    return any(part.startswith((".", "_")) for part in parts)


def _claims(file_name: str, *suffixes: str) -> bool:
    return file_name.lower().endswith(suffixes)


def _start(content: Path | bytes) -> bytes:
    if isinstance(content, bytes):
        return content[:64]
    try:
        with content.open("rb") as file:
            return file.read(64)
    except OSError as error:
        raise MarketError(f"{content}: cannot be read ({error.strerror or error})") from None


def _bytes(content: Path | bytes) -> bytes:
    return content if isinstance(content, bytes) else content.read_bytes()


def _buffer(content: Path | bytes) -> Any:
    import pyarrow as pa

    if isinstance(content, bytes):
        return content
    if not content.stat().st_size:
        return b""
    with pa.memory_map(str(content)) as mapped:
        return mapped.read_buffer()


def _stream(content: Path | bytes) -> Any:
    return BytesIO(content) if isinstance(content, bytes) else content
