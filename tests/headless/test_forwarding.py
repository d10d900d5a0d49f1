"""What is to be forwarded, as it is said."""

from __future__ import annotations

import pytest

from lagotui.verbs.forwarding import Wanted, wanted_forwards
from tests.headless.terminal_user import Lago


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["vm0", "8080:80"], [Wanted("vm0", 8080, 80)]),
        (["vm0", "80"], [Wanted("vm0", 80, 80)]),
        (["vm0", "0:80", "0:443", "vm1", "22"], [Wanted("vm0", 0, 80), Wanted("vm0", 0, 443), Wanted("vm1", 22, 22)]),
        (["vm0:80", "vm1:8080:80"], [Wanted("vm0", 80, 80), Wanted("vm1", 8080, 80)]),
        (["7:8:9"], [Wanted("7", 8, 9)]),
    ],
)
def test_ports_are_said_in_several_ways(words: list[str], wanted: list[Wanted]) -> None:
    assert wanted_forwards(words) == wanted


@pytest.mark.parametrize(
    "words", [["80"], ["vm0"], ["vm0", "0"], ["vm0", "1:65536"], ["vm0", "65536:1"], ["vm0:http"], ["vm0:1:2:3"], [":80"]]
)
def test_what_is_no_port_is_refused(words: list[str], lago: Lago) -> None:
    outcome = lago("forward", *words)
    assert (outcome.code, outcome.out) == (2, "") and "next:" in outcome.err
