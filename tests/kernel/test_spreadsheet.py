"""No cell of an export can be a formula, in whatever a customer typed (money-and-reliability S3)."""

from __future__ import annotations

import csv
import io
import zipfile
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from wavu import spreadsheet

ZONE = ZoneInfo("Africa/Nairobi")
TEXTS = st.text(max_size=30) | st.builds(
    lambda start, rest: start + rest,
    st.sampled_from(["=", "+", "-", "@", "\t", "\r", "\n", " =", "\ufeff=", "\x00="]),
    st.text(max_size=9),
)  # fmt: skip


@given(rows=st.lists(st.lists(TEXTS, min_size=3, max_size=3), max_size=5))
@settings(max_examples=300, deadline=None)
def test_csv_cells_are_never_formulas_and_never_leave_their_cell(rows: list[list[str]]) -> None:
    file = b"".join(spreadsheet.csv_lines(["a", "=b", "c"], rows, ZONE))
    lines = list(csv.reader(io.StringIO(file.decode("utf-8-sig"), newline="")))
    assert [len(line) for line in lines] == [3] * (len(rows) + 1)
    for line, row in zip(lines[1:], rows, strict=True):
        for cell, said in zip(line, row, strict=True):
            assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
            assert cell.removeprefix("'") == said.replace("\x00", "").removeprefix("'")


@given(row=st.lists(TEXTS, min_size=3, max_size=3))
@settings(max_examples=50, deadline=None)
def test_workbooks_have_no_formulas_and_no_links(row: list[str]) -> None:
    with spreadsheet.xlsx(["a", "b", "c"], [row, [1, 2.5, None]], ZONE) as file, zipfile.ZipFile(file) as book:
        sheet = book.read("xl/worksheets/sheet1.xml").decode()
    assert "<f>" not in sheet
    assert "hyperlink" not in sheet
    assert "<v>2.5</v>" in sheet
