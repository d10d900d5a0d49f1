"""Makes the man page of the parsers: `make man`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from argparse_manpage.manpage import Manpage

from lagotui.verbs.whole import manual_parser

TITLE = '.TH LAGOTUI 1 "" lagotui "User Commands"'
NAME = "lagotui \\- ad\\-hoc virtual environments from an init file"


def man_page() -> str:
    """Return the page, without anything that changes from day to day."""
    os.environ["COLUMNS"] = "80"  # argparse folds usage lines by it
    page = str(Manpage(manual_parser(), format="single-commands-section"))
    lines = [line.rstrip() for line in page.splitlines()]
    lines[0] = TITLE
    lines[lines.index(".SH NAME") + 1] = NAME
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(man_page(), encoding="utf-8")
