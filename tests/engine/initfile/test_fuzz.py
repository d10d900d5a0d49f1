"""Whatever is done to a sample, reading it ends with a spec or with placed errors."""

from __future__ import annotations

import json
from pathlib import Path

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.initfile import Severity, load_init_file
from engine.initfile.complete import complete, hover
from engine.initfile.facts import Facts
from tests.engine.initfile.corpus import BROKEN

ROOT = Path(__file__).resolve().parents[3]
TEXTS = [path.read_text() for path in sorted((ROOT / "sample_initfiles").glob("*.yaml"))]
TEXTS += [json.dumps(yaml.safe_load(text), indent="\t") for text in TEXTS]
TEXTS += [case.text.replace("»", "") for case in BROKEN if len(case.text) < 1000]
FACTS = Facts(templates={"tiny": ("1",)}, exists=lambda path: False)

SIGNS = [*" \n\t:{}[],\"'\\#|>!%@", "", ": ", "- ", "*a", "&a ", "<<: ", "? "]
WORDS_OF_YAML = ["null", "true", "1", "-1", "1e9", ".nan", "9" * 30, "!!str ", "---\n", "...\n"]
CHARACTERS = [*"\0\x85\u2028\ud800\ufeffé😀\r", "\r\n"]
PIECES = st.sampled_from([*SIGNS, *WORDS_OF_YAML, *CHARACTERS])
QUICK = settings(max_examples=400, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow])


def assert_survives(text: str) -> None:
    loaded = load_init_file("/env/LagoInitFile", text, FACTS)
    errors = [each for each in loaded.diagnostics if each.severity is Severity.ERROR]
    assert (loaded.spec is None) == bool(errors)
    last_line = len(text.splitlines()) + 1
    for each in loaded.diagnostics:
        assert 1 <= each.line <= max(last_line, text.count("\n") + 1)
        assert each.column >= 1
        assert "\n" not in str(each)


def assert_helps(text: str, place: int) -> None:
    """Completion and hover say something, or nothing, wherever the cursor is."""
    before = text[:place]
    line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
    for each in complete(text, line, column, FACTS):
        assert 0 <= each.replaces < column
    said = hover(text, line, column, FACTS)
    assert said is None or said.column <= column < said.end_column


@QUICK
@given(st.sampled_from(TEXTS), st.data())
def test_edited_samples(text: str, data: st.DataObject) -> None:
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = min(len(text), start + data.draw(st.integers(0, 12)))
        text = text[:start] + data.draw(PIECES) + text[end:]
    assert_survives(text)
    assert_helps(text, data.draw(st.integers(0, len(text))))


@QUICK
@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    assert_survives(text)
    assert_helps(text, len(text))


KEYS = "domains nets prototypes vm0 lan nics net ip disks name type template_name path size dev memory vcpu groups gw dhcp start end mtu"
MORE_KEYS = (
    "cpu_model cpu_custom depends_on ready tcp log cloud-init user-data network-config url build bridge ipv6 deploy-scripts dns_records"
)
VALUES_OF_KEYS = (
    "template tiny empty file vda metadata management based-on 192.168.210.1 192.168.210.5 $X nat bridge root-password ova qcow2"
)
WORDS = st.sampled_from(f"{KEYS} {MORE_KEYS} {VALUES_OF_KEYS}".split(" "))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=5),
    max_leaves=30,
)


@QUICK
@given(VALUES, VALUES, VALUES)
def test_any_json_in_the_places_of_the_language(machine: object, net: object, prototype: object) -> None:
    assert_survives(json.dumps({"domains": {"vm0": machine}, "nets": {"lan": net}, "prototypes": {"tiny": prototype}}))


@QUICK
@given(st.dictionaries(WORDS, VALUES, max_size=5), st.dictionaries(WORDS, VALUES, max_size=5))
def test_any_keys_of_a_machine_and_a_net(machine: dict[str, object], net: dict[str, object]) -> None:
    nics = {"nics": [{"net": "lan", "ip": "192.168.210.7"}]}
    assert_survives(json.dumps({"domains": {"vm0": nics | machine, "vm1": machine | nics}, "nets": {"lan": net}}))
