"""docs/diagnostics.md tells of every code, with examples that bring it about."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine.initfile import CODES, load_init_file
from tests.engine.initfile.corpus import FACTS

PAGE = (Path(__file__).resolve().parents[3] / "docs/diagnostics.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## ([EWI]\d{3}): (.+)$", PAGE, re.MULTILINE))
WITHOUT_EXAMPLE = {"E001", "E002", "E229", "E230"}
"""What no text brings about by itself, or none that anybody would read."""


def example_of(code: str) -> str:
    section = PAGE.partition(f"## {code}: ")[2].partition("\n## ")[0]
    return section.partition("```yaml\n")[2].partition("```")[0]


def test_every_code_has_its_section_in_order() -> None:
    assert list(SECTIONS.items()) == list(CODES.items())


@pytest.mark.parametrize("code", sorted(set(CODES) - WITHOUT_EXAMPLE))
def test_example_brings_it_about(code: str) -> None:
    found = load_init_file("/env/LagoInitFile", example_of(code), FACTS).diagnostics
    assert code in [each.code for each in found]


@pytest.mark.parametrize("code", CODES)
def test_section_says_what_to_do(code: str) -> None:
    assert "\nDo: " in PAGE.partition(f"## {code}: ")[2].partition("\n## ")[0]
