"""The question before an environment is thrown away."""

from __future__ import annotations

from ..present.cells import Line, Span
from ..present.help import wrap
from ..runs import RunRequest, Verb, env_label
from .desk import DeskScreen
from .dialogs import TEXT_WIDTH, ConfirmDialog


def ask_destroy(screen: DeskScreen, env: str) -> None:
    """Ask, saying what would be lost; "no" is the default. What is lost is looked up while the question stands."""
    request = RunRequest(Verb.DESTROY, env)
    looking: tuple[Line, ...] = ((Span("Looking at what would be lost…", "dim"),),)
    dialog = ConfirmDialog(f"Destroy {env_label(env)}?", looking, yes="destroy", danger=True, ready=False)

    def told(losses: list[str]) -> None:
        if dialog.is_attached:
            dialog.set_ready(loss_lines(losses, request.headless))

    def answered(yes: bool | None) -> None:
        if yes:
            screen.submit(request)

    screen.app.push_screen(dialog, answered)
    screen.tools.bridge.ask_losses(env, told)


def loss_lines(losses: list[str], headless: str) -> list[Line]:
    """Return what the dialog says."""
    lines: list[Line] = [(Span("This will be lost, and cannot be brought back:", bold=True),), ()]
    for loss in losses:
        for index, part in enumerate(wrap(loss, TEXT_WIDTH - 2)):
            lines.append((Span("✖ " if not index else "  ", "danger"), Span(part)))
    return [*lines, (), *((Span(part, "command"),) for part in wrap(f"$ {headless}", TEXT_WIDTH))]
