"""Every kind of mistake is found at its place, and nothing ends in a traceback."""

from __future__ import annotations

import time

import pytest

from engine.errors import InitFileError
from engine.initfile import CODES, Diagnostic, Loaded, Severity, load_init_file, require_spec
from engine.initfile.facts import Facts
from tests.engine.initfile.corpus import BROKEN, FACTS, REMARKS, Case


def load(text: str) -> Loaded:
    return load_init_file("/env/LagoInitFile", text, FACTS)


def place_of_mark(text: str) -> tuple[int, int]:
    before = text[: text.index("»")]
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


def found_in(case: Case) -> tuple[Diagnostic, ...]:
    return load(case.text.replace("»", "")).diagnostics


@pytest.mark.parametrize("case", BROKEN, ids=lambda case: case.name)
def test_mistake_is_the_only_error_and_at_its_place(case: Case) -> None:
    errors = [(each.code, each.line, each.column) for each in found_in(case) if each.severity is Severity.ERROR]
    assert errors == [(case.code, *place_of_mark(case.text))]


@pytest.mark.parametrize("case", REMARKS, ids=lambda case: case.name)
def test_remark_is_at_its_place_and_no_error(case: Case) -> None:
    found = found_in(case)
    assert (case.code, *place_of_mark(case.text)) in [(each.code, each.line, each.column) for each in found]
    assert all(each.severity is not Severity.ERROR for each in found)


@pytest.mark.parametrize("case", BROKEN, ids=lambda case: case.name)
def test_broken_file_does_not_take_long(case: Case) -> None:
    started_s = time.process_time()
    found_in(case)
    assert time.process_time() - started_s < 10.0


@pytest.mark.parametrize("case", [*BROKEN, *REMARKS], ids=lambda case: case.name)
def test_diagnostic_ends_after_it_starts_and_is_one_printable_line(case: Case) -> None:
    for each in found_in(case):
        assert (each.end_line, each.end_column) >= (each.line, each.column) >= (1, 1)
        assert str(each).isprintable()


def test_every_code_has_a_case() -> None:
    not_from_text = {"E001", "E229"}
    assert {case.code for case in [*BROKEN, *REMARKS]} == set(CODES) - not_from_text


def test_text_form() -> None:
    (found,) = load("domains:\n  vm0:\n    nics: [{net: lan}]\n    memroy: 1\nnets: {lan: {}}\n").diagnostics
    assert str(found) == "/env/LagoInitFile:4:5: error E103: unknown key 'memroy' of a machine (did you mean 'memory'?)"


def test_range_covers_the_value() -> None:
    (found,) = load("domains:\n  vm0:\n    nics: [{net: lan}]\n    memory: lots\nnets: {lan: {}}\n").diagnostics
    assert (found.line, found.column, found.end_line, found.end_column) == (4, 13, 4, 17)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("domain: {}\nnets: {lan: {}}\n", "write 'domain' as 'domains'"),
        ("domains: {a: {nics: [{net: lam}]}}\nnets: {lan: {}, wan: {}}\n", "did you mean 'lan'?"),
        ("domains: {a: {nics: [{net: zzz}]}}\nnets: {lan: {}, wan: {}}\n", "nets: 'lan', 'wan'"),
        ("domains: {a: {nics: [{net: lan}], disks: [{name: a, type: file, path: x, make_a_copy: maybe}]}}\nnets: {lan: {}}\n", ""),
        ("domains: {a: {nics: [{net: lan}], disks: [{name: a, type: tempalte}]}}\nnets: {lan: {}}\n", "did you mean 'template'?"),
        (
            "domains: {a: {nics: [{net: lan}], disks: [{name: a, type: template, template_name: tinny}]}}\nnets: {lan: {}}\n",
            "did you mean 'tiny'?",
        ),
    ],
)
def test_hint_names_the_nearest(text: str, hint: str) -> None:
    assert hint in [each.hint for each in load(text).diagnostics if each.severity is Severity.ERROR]


def test_clash_names_the_first_place() -> None:
    text = (
        "domains:\n  a: {nics: [{net: l, ip: 192.168.210.7}]}\n  b: {nics: [{net: l, ip: 192.168.210.7}]}\nnets: {l: {gw: 192.168.210.1}}\n"
    )
    (found,) = load(text).diagnostics
    assert found.message == "machine 'b' has the address 192.168.210.7, which machine 'a' has already (line 2)"


def test_duplicate_key_names_both_places() -> None:
    (found,) = [each for each in load("domains: {}\nnets: {l: {}}\nnets: {l: {}}\n").diagnostics if each.code == "E005"]
    assert (found.line, found.message) == (3, "'nets' is written twice: first at line 2, column 1")


def test_all_problems_are_reported_at_once() -> None:
    text = "domains:\n  a:\n    vcpu: x\n    memory: y\n    nics: [{net: l}]\n  b:\n    nics: [{net: m}]\nnets: {l: {gw: 1}}\n"
    assert [each.code for each in load(text).diagnostics] == ["E101", "E215", "E201", "E208"]


def test_wrong_key_of_a_machine_does_not_hide_the_meaning_of_the_others() -> None:
    text = "domains:\n  a:\n    vcpu: x\n    nics: [{net: l}, {net: m}]\n    disks: [{name: d, type: empty}]\nnets: {l: {}}\n"
    assert [each.code for each in load(text).diagnostics] == ["E101", "E201", "E102"]


def test_fault_behind_an_anchor_is_said_once() -> None:
    machines = "".join(f"  vm{number}: {{nics: [{{net: l}}], disks: *d}}\n" for number in range(5))
    text = "x: &d\n  - {name: a, type: template, template_name: nope}\ndomains:\n" + machines + "nets: {l: {}}\n"
    assert [(each.code, each.line) for each in load(text).diagnostics if each.severity is Severity.ERROR] == [("E202", 2)]


@pytest.mark.parametrize("facts", [None, Facts()], ids=["none", "empty"])
def test_unknown_facts_mean_fewer_checks(facts: Facts | None) -> None:
    disks = "[{name: a, type: template, template_name: nope}, {name: b, type: file, path: gone}]"
    text = f"domains: {{a: {{nics: [{{net: l}}], disks: {disks}}}}}\nnets: {{l: {{}}}}\n"
    assert load_init_file("LagoInitFile", text, facts).diagnostics == ()


def test_message_cannot_steer_the_terminal() -> None:
    (found,) = [each for each in load('"\\e[2J": 1\ndomains: {}\nnets: {l: {}}\n').diagnostics if each.line == 1]
    assert found.message == "unknown key '\\x1b[2J'"


def test_require_spec_raises_every_error_one_a_line() -> None:
    text = "domains: {a: {nics: [{net: l}], vcpu: x, memory: y}}\nnets: {l: {}}\n"
    with pytest.raises(InitFileError) as raised:
        require_spec("LagoInitFile", text, FACTS)
    assert [line.split(": ")[1] for line in raised.value.message.splitlines()] == ["error E101", "error E215"]
    assert raised.value.exit_code == 2
