"""Every action of the screen in the command palette."""

from __future__ import annotations

from functools import partial

from textual.command import DiscoveryHit, Hit, Hits, Provider

from .actions import Action, Scope, actions_of, key_text


class ActionProvider(Provider):
    """Finds actions by title and help."""

    async def discover(self) -> Hits:
        for action in self._actions():
            yield DiscoveryHit(_label(action), partial(self._run, action), help=action.help)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for action in self._actions():
            score = matcher.match(f"{action.title} {action.help}")
            if score > 0:
                yield Hit(score, matcher.highlight(_label(action)), partial(self._run, action), help=action.help)

    def _actions(self) -> tuple[Action, ...]:
        scopes: tuple[Scope, ...] = getattr(self.screen, "SCOPES", ())
        hidden = ("command-palette", "panel", "back")
        return tuple(action for action in actions_of(*scopes, Scope.APP) if action.id not in hidden)

    async def _run(self, action: Action) -> None:
        owner = self.screen if hasattr(self.screen, f"action_{action.method}") else self.app
        await self.app.run_action(action.method, owner)


def _label(action: Action) -> str:
    return f"{action.title}  ({key_text(action.key)})"
