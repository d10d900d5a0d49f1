"""Things that are not written in this house, wherever they would be."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.architecture.house import ROOT, Module, module_of, modules, modules_below, obey

BROAD = {"Exception", "BaseException"}
BOUNDARIES = {
    "engine/tasks/runner.py": 2,
    "engine/tasks/threads.py": 1,
    "engine/tasks/provided_steps.py": 2,
    "engine/providers/registry.py": 1,
    "engine/providers/provided.py": 1,
    "engine/providers/libvirt/connection.py": 1,
    "engine/providers/lxd/events.py": 1,
    "lagotui/bridge.py": 3,
    "lagotui/cli.py": 1,
    "lagotui/headless.py": 1,
    "lagotui/plugins/registry.py": 1,
    "lagotui/verbs/plugged.py": 2,
}
"""Where strangers' errors must not end the program, and how often: runner, its threads, plugin registry, event callbacks, doors."""

RUNNERS = {"run", "Popen", "call", "check_call", "check_output", "create_subprocess_exec", "execv", "execvp", "execvpe", "execve"}
SHELLS = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "asyncio.create_subprocess_shell"}
SHELL_PROGRAMS = {"sh", "bash", "/bin/sh", "/bin/bash"}

UNSAFE_TEXT = {
    re.compile(r"StrictHostKeyChecking[\"',=\s]+(?:no|off)\b"): "switches host key checking off",
    re.compile(r"UserKnownHostsFile[\"',=\s]+/dev/null"): "throws known hosts away",
    re.compile(r"\b(?:AutoAddPolicy|WarningPolicy)\b"): "accepts any host key",
    re.compile(r"\byaml\.(?:load|load_all|full_load|unsafe_load)\(|\b(?:C?FullLoader|C?UnsafeLoader)\b"): "reads YAML unsafely",
    re.compile(r"\bverify\s*=\s*False\b"): "switches certificate checking off",
    re.compile(r"\b(?:TODO|FIXME|XXX)\b"): "leaves work behind",
}

_NAMES = "red|green|blue|yellow|magenta|cyan|white|black|grey|gray|orange|purple|pink|brown"
_SHADES = rf"(?:bright_|dark_|ansi_)?(?:{_NAMES})\d*"
HEX_COLOUR = re.compile(r"#(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6}|[0-9a-fA-F]{8})\b")
MARKUP_COLOUR = re.compile(rf"\[(?:(?:bold|dim|italic|underline|not|on|reverse) )*{_SHADES}(?: on {_SHADES})?\]")
STYLE_COLOUR = re.compile(rf"^(?:(?:bold|dim|italic|underline|on|reverse) )*{_SHADES}(?: on {_SHADES})?$")
SHEET_COLOUR = re.compile(rf"[\w-]*(?:color|background|border|outline|tint|scrollbar)[\w-]*\s*:[^;{{}}]*[^\w$-](?:{_NAMES})\b")


def broad_excepts(module: Module) -> Iterator[str]:
    """Handlers that catch everything and do not raise it again."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ExceptHandler) and _is_broad(node.type) and not _raises_again(node):
            yield f"{module.path}:{node.lineno}: catches everything"


def silent_excepts(module: Module) -> Iterator[str]:
    """Handlers that catch everything and tell nobody: neither the error is used nor a logger."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ExceptHandler) and _is_broad(node.type) and not _raises_again(node):
            used = {each.id for statement in node.body for each in ast.walk(statement) if isinstance(each, ast.Name)}
            calls = {each.attr for statement in node.body for each in ast.walk(statement) if isinstance(each, ast.Attribute)}
            if node.name not in used and "exception" not in calls:
                yield f"{module.path}:{node.lineno}: catches everything and tells nobody"


def _is_broad(caught: ast.expr | None) -> bool:
    if caught is None:
        return True
    names = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(isinstance(name, ast.Name) and name.id in BROAD for name in names)


def _raises_again(handler: ast.ExceptHandler) -> bool:
    last = handler.body[-1]
    return isinstance(last, ast.Raise)


def calls_in(module: Module) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def command_violations(module: Module) -> Iterator[str]:
    """Shells, and command lines glued together from text."""
    for name, call in calls_in(module):
        place = f"{module.path}:{call.lineno}"
        if name == "print":
            yield f"{place}: print"
        if name in SHELLS:
            yield f"{place}: {name} goes through a shell"
        if any(keyword.arg == "shell" and not _is_false(keyword.value) for keyword in call.keywords):
            yield f"{place}: shell="
        if name.rpartition(".")[2] in RUNNERS and any(_is_glued(argument) for argument in call.args[:2]):
            yield f"{place}: a command line is a list, not text"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.List | ast.Tuple) and _is_shell_script(node.elts):
            yield f"{module.path}:{node.lineno}: values are passed to a shell script as arguments, not put into it"


def _is_false(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is False


def _is_glued(value: ast.expr) -> bool:
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr in ("split", "format"):
        return isinstance(value.func.value, ast.JoinedStr | ast.Constant)
    if isinstance(value, ast.BinOp) and isinstance(value.op, ast.Add | ast.Mod):
        return isinstance(value.left, ast.Constant) and isinstance(value.left.value, str)
    return isinstance(value, ast.JoinedStr)


def _is_shell_script(items: list[ast.expr]) -> bool:
    texts = [item.value if isinstance(item, ast.Constant) else None for item in items]
    if not texts or texts[0] not in SHELL_PROGRAMS or "-c" not in texts:
        return False
    script = texts.index("-c") + 1
    return script < len(items) and _is_glued(items[script])


def text_violations(module: Module) -> Iterator[str]:
    for pattern, what in UNSAFE_TEXT.items():
        for match in pattern.finditer(module.text):
            yield f"{module.path}:{module.text.count(chr(10), 0, match.start()) + 1}: {what}"


def colour_violations(module: Module) -> Iterator[str]:
    docstrings = _docstrings(module.tree)
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docstrings:
            if HEX_COLOUR.search(node.value) or MARKUP_COLOUR.search(node.value):
                yield f"{module.path}:{node.lineno}: {node.value[:40]!r}"
        elif isinstance(node, ast.keyword) and node.arg in ("style", "color", "bgcolor", "fg", "bg") and _is_colour(node.value):
            yield f"{module.path}:{node.value.lineno}: {ast.unparse(node)}"


def _is_colour(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and isinstance(value.value, str) and STYLE_COLOUR.match(value.value) is not None


def _docstrings(tree: ast.Module) -> set[ast.expr]:
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}


def sheet_colours(text: str) -> Iterator[int]:
    """Lines of a style sheet that name a colour instead of a theme's variable."""
    bare = re.sub(r"/\*.*?\*/", lambda match: re.sub(r"[^\n]", " ", match.group()), text, flags=re.DOTALL)
    for pattern in (re.compile(r":[^;{]*" + HEX_COLOUR.pattern), SHEET_COLOUR):
        for match in pattern.finditer(bare):
            yield bare.count("\n", 0, match.end()) + 1


def test_everything_is_caught_at_the_boundaries_only() -> None:
    found = {module.path: list(broad_excepts(module)) for module in modules()}
    beyond = [each for path, places in found.items() if len(places) > BOUNDARIES.get(path, 0) for each in places]
    obey("no `except Exception` outside of the boundaries (BOUNDARIES in test_habits.py)", beyond)


def test_what_is_caught_at_a_boundary_is_told() -> None:
    obey("who catches everything logs it or hands it on", [each for module in modules() for each in silent_excepts(module)])


def test_no_print_no_shell_no_glued_command_lines() -> None:
    obey("no print, no shell, no command lines from text", [each for module in modules() for each in command_violations(module)])


def test_nothing_unsafe_is_written() -> None:
    obey(
        "hosts, certificates and files are checked; no work is left behind",
        [each for module in modules() for each in text_violations(module)],
    )


def test_colours_live_in_themes() -> None:
    found = [each for module in modules_below("lagotui", "engine") for each in colour_violations(module)]
    for path in sorted((ROOT / "lagotui").rglob("*.tcss")):
        found += [f"{path.relative_to(ROOT)}:{line}" for line in sheet_colours(path.read_text())]
    obey("colours are named in themes/ only", found)


@pytest.mark.parametrize(
    "text",
    [
        "try:\n    f()\nexcept Exception:\n    pass",
        "try:\n    f()\nexcept:\n    pass",
        "try:\n    f()\nexcept (OSError, BaseException) as e:\n    log(e)",
    ],
)
def test_except_rule_bites(text: str) -> None:
    assert list(broad_excepts(module_of("engine/x.py", text)))


@pytest.mark.parametrize(
    "text",
    [
        "print(1)",
        "subprocess.run(argv, shell=True)",
        "os.system('ls')",
        "process.run(ctx, f'ls {folder}')",
        "run(ctx, f'ls {folder}'.split())",
        "subprocess.run('ls ' + folder)",
        "run(ctx, ['sh', '-c', f'ls {folder}'])",
    ],
)
def test_command_rule_bites(text: str) -> None:
    assert list(command_violations(module_of("engine/x.py", text)))


def test_f_strings_as_single_arguments_are_fine() -> None:
    assert list(command_violations(module_of("engine/x.py", "run(ctx, ['ls', f'--sort={key}'], timeout_s=3)"))) == []


@pytest.mark.parametrize(
    "text",
    [
        "argv = ['ssh', '-o', 'StrictHostKeyChecking=no']",
        "text = 'StrictHostKeyChecking no'",
        "client.set_missing_host_key_policy(paramiko.AutoAddPolicy())",
        "yaml.load(text)",
        "requests.get(url, verify=False)",
    ],
)
def test_safety_rule_bites(text: str) -> None:
    assert list(text_violations(module_of("engine/x.py", text)))


@pytest.mark.parametrize(
    "text", ["x = '#ff0000'", "x = '[bold red]no[/]'", "Text('a', style='green')", "Text('a', style='bold white on blue')"]
)
def test_colour_rule_bites(text: str) -> None:
    assert list(colour_violations(module_of("lagotui/x.py", text)))


@pytest.mark.parametrize("text", ["A {\n  color: red;\n}", "A {\n  background: #123456 50%;\n}", "A { border: round green; }"])
def test_style_sheet_rule_bites(text: str) -> None:
    assert list(sheet_colours(text))


@pytest.mark.parametrize("text", ["A {\n  color: $vm-running;\n}", "#header {\n  height: 1;\n}", "/* red */ A { width: 1fr; }"])
def test_style_sheet_with_variables_is_fine(text: str) -> None:
    assert not list(sheet_colours(text))
