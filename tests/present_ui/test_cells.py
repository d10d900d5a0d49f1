"""Spans, columns, meters and numbers."""

from __future__ import annotations

import pytest

from lagotui.present.cells import (
    Column,
    Row,
    Span,
    age_text,
    clean,
    duration_text,
    filter_rows,
    fit,
    lay_out,
    line_len,
    meter,
    size_text,
    sparkline,
    text_of,
)


def test_fit_cuts_with_an_ellipsis_to_the_exact_width() -> None:
    assert text_of(fit((Span("hello "), Span("world")), 8)) == "hello w…"


def test_fit_pads_to_the_exact_width() -> None:
    assert text_of(fit((Span("ab"),), 5)) == "ab   "
    assert text_of(fit((Span("ab"),), 5, right=True)) == "   ab"


def test_fit_counts_wide_characters_as_two() -> None:
    line = fit((Span("日本語です"),), 6)
    assert line_len(line) == 6
    assert text_of(line).startswith("日本…")


def test_lay_out_drops_the_highest_rank_first() -> None:
    columns = (Column("a", 10), Column("b", 10, 2), Column("c", 10, 1))
    assert lay_out(columns, 22) == (10, 0, 10)


def test_lay_out_never_drops_rank_zero() -> None:
    assert lay_out((Column("a", 10), Column("b", 10)), 5) == (10, 10)


def test_lay_out_gives_spare_room_to_columns_that_grow() -> None:
    assert lay_out((Column("a", 5, 0, 8), Column("b", 5)), 30) == (8, 5)


@pytest.mark.parametrize(
    ("pattern", "kept"),
    [("", ["db01", "web01"]), ("WEB", ["web01"]), ("!web", ["db01"]), ("web run", ["web01"]), ("!", ["db01", "web01"])],
)
def test_filter(pattern: str, kept: list[str]) -> None:
    rows = (Row("db01", (), "db01 running"), Row("web01", (), "web01 running"))
    assert [row.key for row in filter_rows(rows, pattern)] == kept


def test_sparkline_is_right_aligned_and_keeps_the_last() -> None:
    assert sparkline([0, 50, 100], 5) == "  ▁▅█"
    assert sparkline([100] * 9 + [0], 3) == "██▁"


@pytest.mark.parametrize(("share", "text"), [(0, "░░░░"), (0.5, "██░░"), (1, "████"), (1.7, "████"), (-1, "░░░░"), (0.3, "█▎░░")])
def test_meter_fills_its_width(share: float, text: str) -> None:
    assert text_of(meter(share, 4)) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (200 * 1024, "200 KiB"), (3 << 40, "3.0 TiB")]
)
def test_size(count: int, text: str) -> None:
    assert size_text(count) == text


@pytest.mark.parametrize(("seconds", "text"), [(4.23, "4.2 s"), (65, "1:05"), (7209, "2:00:09"), (-1, "0.0 s")])
def test_duration(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize(("seconds", "text"), [(5, "just now"), (600, "10 min"), (7200, "2 h"), (3 * 86400, "3 d")])
def test_age(seconds: float, text: str) -> None:
    assert age_text(seconds) == text


def test_clean_takes_control_characters_out() -> None:
    assert clean("a\x1b[31mb\tc\r\n") == "a [31mb c  "
