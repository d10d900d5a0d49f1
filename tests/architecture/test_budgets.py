"""Sizes: a thing that outgrows its budget is split by concept."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.architecture.house import ROOT, Module, module_of, modules, obey

MODULE, FUNCTION, CLASS, STYLES = 400, 60, 300, 250
SMALLER = {"lagotui/app.py": 250}


def size_violations(module: Module) -> Iterator[str]:
    lines, budget = module.text.count("\n"), SMALLER.get(module.path, MODULE)
    if lines > budget:
        yield f"{module.path}: {lines} lines, its budget is {budget}"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            limit = CLASS if isinstance(node, ast.ClassDef) else FUNCTION
            if length > limit:
                yield f"{module.path}:{node.lineno}: {node.name} has {length} lines, its budget is {limit}"


def test_modules_classes_and_functions_keep_to_their_budgets() -> None:
    obey("budgets", [each for module in modules() for each in size_violations(module)])


def test_style_sheets_keep_to_their_budget() -> None:
    sheets = (ROOT / "lagotui").rglob("*.tcss")
    sizes = {path: path.read_text().count("\n") for path in sheets}
    obey(
        "a style sheet has at most 250 lines", [f"{path.relative_to(ROOT)}: {size} lines" for path, size in sizes.items() if size > STYLES]
    )


def test_budget_rule_bites() -> None:
    body = "    x = 1\n" * 60
    assert list(size_violations(module_of("engine/x.py", f"def f():\n{body}")))
    assert list(size_violations(module_of("engine/x.py", "\n" * 401)))
    assert list(size_violations(module_of("lagotui/app.py", "\n" * 251)))
