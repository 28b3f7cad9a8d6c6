"""Rows for people's spreadsheets: CSV and XLSX in which no cell can be a formula."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import IO
from zoneinfo import ZoneInfo

import xlsxwriter

# What makes a spreadsheet take a cell for a formula, or carry on into the next one (OWASP, CSV injection).
_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
# A sheet holds 1,048,576 rows.
MAX_XLSX_ROWS = 100_000

Cell = str | int | float | datetime | None


def safe(cell: Cell, zone: ZoneInfo) -> str:
    """A cell as text: an instant as its wall clock in `zone`, a number as it is, and text that might be taken for a
    formula with an apostrophe before it."""
    if cell is None:
        return ""
    if isinstance(cell, datetime):
        return f"{cell.astimezone(zone):%Y-%m-%d %H:%M:%S}"
    if isinstance(cell, int | float):
        return str(cell)
    text = cell.replace("\x00", "")
    return f"'{text}" if text.lstrip(" \N{NO-BREAK SPACE}\N{ZERO WIDTH NO-BREAK SPACE}").startswith(_STARTS) else text


def csv_lines(headings: Sequence[str], rows: Iterable[Sequence[Cell]], zone: ZoneInfo) -> Iterator[bytes]:
    """A CSV file piece by piece, with the mark that has spreadsheets read it as UTF-8. Text stands in quotes."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    buffer.write("\N{ZERO WIDTH NO-BREAK SPACE}")
    writer.writerow([safe(heading, zone) for heading in headings])
    for row in rows:
        writer.writerow([safe(cell, zone) for cell in row])
        if buffer.tell() > 16_384:
            yield _take(buffer)
    yield _take(buffer)


def _take(buffer: io.StringIO) -> bytes:
    said = buffer.getvalue().encode()
    buffer.seek(0)
    buffer.truncate()
    return said


def xlsx(headings: Sequence[str], rows: Iterable[Sequence[Cell]], zone: ZoneInfo) -> IO[bytes]:
    """The same as a workbook, in a temporary file that is open at its beginning and goes away when it is closed.

    Memory stays constant. Numbers are numbers and times are times; all else is text, whatever it looks like. Stops
    after MAX_XLSX_ROWS.
    """
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    try:
        _write(file, headings, rows, zone)
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file


def _write(file: IO[bytes], headings: Sequence[str], rows: Iterable[Sequence[Cell]], zone: ZoneInfo) -> None:
    # The library knows how to guess formulas, links and numbers out of text: it is told what each cell is.
    book = xlsxwriter.Workbook(file, {"constant_memory": True})
    sheet, bold = book.add_worksheet(), book.add_format({"bold": True})
    moment = book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
    sheet.freeze_panes(1, 0)
    sheet.set_column(0, len(headings) - 1, 18)
    for column, heading in enumerate(headings):
        sheet.write_string(0, column, safe(heading, zone), bold)
    for number, row in enumerate(rows, 1):
        if number > MAX_XLSX_ROWS:
            break
        for column, cell in enumerate(row):
            if isinstance(cell, datetime):
                sheet.write_datetime(number, column, cell.astimezone(zone).replace(tzinfo=None), moment)
            elif isinstance(cell, int | float):
                sheet.write_number(number, column, cell)
            elif cell:
                sheet.write_string(number, column, safe(cell, zone))
    book.close()
