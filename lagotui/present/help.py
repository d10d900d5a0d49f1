"""The registry of actions → the help screen and the lines of an empty screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..actions import Action, Scope, actions_of, key_text
from .cells import Line, Span, fit

KEY_WIDTH = 9
TITLE_WIDTH = 12


def help_lines(scopes: Sequence[Scope], keymap: Mapping[str, str], pattern: str, width: int) -> tuple[Line, ...]:
    """Return the help for `scopes`, only what holds `pattern`.

    Args:
        keymap: the user's own keys, by action id.
    """
    lines: list[Line] = []
    for scope in scopes:
        found = [action for action in actions_of(scope) if pattern.casefold() in _words(action)]
        if not found:
            continue
        lines += [(), (Span(f" {scope.value}", "title", bold=True),)]
        for action in found:
            lines += _action_lines(action, keymap.get(action.id, action.key), width)
    return tuple(lines[1:]) or ((Span(" nothing here has these words", "dim"),),)


def teaching_lines(heading: str, sentences: Sequence[str], keys: Sequence[tuple[str, str]], width: int) -> tuple[Line, ...]:
    """Return what an empty list shows: what it is, and the keys to begin with."""
    lines: list[Line] = [(), (Span(f"  {heading}", "title", bold=True),), ()]
    lines += [(Span(f"  {part}", "dim"),) for sentence in sentences for part in wrap(sentence, max(20, width - 4))]
    if keys:
        lines.append(())
    lines += [(Span(f"  {key:>5}", "key", bold=True), Span(f"  {meaning}")) for key, meaning in keys]
    return tuple(lines)


def paragraph(text: str, width: int) -> tuple[Line, ...]:
    """Return a sentence as lines of at most `width` cells."""
    return tuple((Span(part, "dim"),) for part in wrap(text, width))


def wrap(text: str, width: int) -> list[str]:
    """Break `text` at blanks into lines of at most `width` cells; a longer word keeps its line."""
    lines: list[str] = []
    for word in text.split():
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _action_lines(action: Action, key: str, width: int) -> list[Line]:
    left = (
        Span(f" {key_text(key):>{KEY_WIDTH - 2}} ", "key", bold=True),
        *fit((Span(f" {action.title}"),), TITLE_WIDTH),
    )
    indent = KEY_WIDTH + TITLE_WIDTH
    lines: list[Line] = []
    sentence = action.help + (" Asks first." if action.dangerous else "")
    for index, part in enumerate(wrap(sentence, max(20, width - indent - 1))):
        lines.append((*left, Span(part, "dim")) if not index else (Span(" " * indent), Span(part, "dim")))
    if action.headless:
        lines.append((Span(" " * indent), Span(f"$ {action.headless}", "command")))
    return lines


def _words(action: Action) -> str:
    return f"{action.title} {action.help} {action.headless} {key_text(action.key)}".casefold()
