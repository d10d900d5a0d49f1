"""completions: what a shell must know to complete our command line, made by shtab of the parsers themselves."""

from __future__ import annotations

from argparse import Action, ArgumentParser, Namespace
from collections.abc import Mapping
from typing import Any

from ..exit_codes import ExitCode
from ..present.lago_formats import FORMATS
from . import Command
from .session import Session

ALIAS = "lago"
"""What people call `lagotui --run`."""
SHELLS = ("bash", "zsh", "fish")

_MACHINES = "_lagotui_machines"
_MACHINE_METAVARS = frozenset({"VM", "HOST"})
_FOLDER_METAVARS = frozenset({"DIR", "WORKDIR_PATH"})
_FILE_METAVARS = frozenset({"FILE", "PATH", "LOCAL", "[WORKDIR] [VIRT_CONFIG]"})

_LIST_MACHINES = """
_lagotui_list_machines() {
  local folder="$PWD"
  while true; do
    if [ -d "$folder/.lago/current/virt" ]; then
      ls "$folder/.lago/current/virt" 2>/dev/null | sed -n 's/^vm-//p'
      return
    fi
    [ -z "$folder" ] && return
    folder="${folder%/*}"
  done
}
"""
_PREAMBLE: Any = {
    "bash": _LIST_MACHINES + '_lagotui_machines() { compgen -W "$(_lagotui_list_machines)" -- "$1"; }\n',
    "zsh": _LIST_MACHINES + '_lagotui_machines() { local -a found; found=(${(f)"$(_lagotui_list_machines)"}); compadd -a found; }\n',
}
_DOORS = {
    "bash": """
_lagotui_doors() {
  if [ "${COMP_WORDS[1]}" = --run ] && [ "$COMP_CWORD" -gt 1 ]; then
    COMP_WORDS=(lago "${COMP_WORDS[@]:2}")
    COMP_CWORD=$((COMP_CWORD - 1))
    _shtab_lago
  else
    COMPREPLY=($(compgen -W "--run --events --version --help" -- "${COMP_WORDS[COMP_CWORD]}"))
  fi
}
complete -o bashdefault -F _lagotui_doors lagotui
""",
    "zsh": """
_lagotui_doors() {
  if [[ $words[2] == --run ]] && (( CURRENT > 2 )); then
    words=(lago "${(@)words[3,-1]}")
    (( CURRENT-- ))
    _shtab_lago
  else
    compadd -- --run --events --version --help
  fi
}
compdef _lagotui_doors lagotui
""",
    "fish": "",
}


def completions(shell: str) -> str:
    """Return the completion script of a shell, for `lago` (an alias of `lagotui --run`) and, but in fish, for `lagotui` itself."""
    import shtab

    from .whole import actions_of, whole_parser

    parser = whole_parser(ALIAS)
    for action in actions_of(parser):
        _complete(action, shtab.FILE, shtab.DIRECTORY)
    return str(shtab.complete(parser, shell, preamble=_PREAMBLE)) + _DOORS[shell]


def _complete(action: Any, files: Mapping[str, Any], folders: Mapping[str, Any]) -> None:
    """Say what an argument's values are, by the name that its help gives them."""
    metavar = action.metavar if isinstance(action, Action) else None
    if action.dest == "out_format":
        action.choices = FORMATS
    if metavar in _MACHINE_METAVARS:
        action.complete = {
            "bash": _MACHINES,
            "zsh": _MACHINES,
            "fish": "(ls .lago/current/virt 2>/dev/null | string replace -rf '^vm-' '')",
        }
    elif metavar in _FOLDER_METAVARS:
        action.complete = folders
    elif metavar in _FILE_METAVARS:
        action.complete = files


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS, help="the shell; source what is printed in its start-up file")


def _completions(session: Session, arguments: Namespace) -> int:
    session.write(completions(arguments.shell))
    return ExitCode.OK


COMMANDS: Mapping[str, Command] = {"completions": Command(_completions, _arguments)}
