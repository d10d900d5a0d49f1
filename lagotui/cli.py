"""The `lagotui` command. Decides which door to open, and loads no more than that door needs."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from . import __version__
from .exit_codes import ExitCode
from .streams import mute, secure, tell

RUN = "--run"

USAGE = f"""usage: lagotui                              open the terminal UI
       lagotui {RUN} [OPTION…] VERB […]      do one thing and leave: what follows {RUN} is a complete Lago command line
       lagotui --version | --help

options:
  {RUN}              run a verb headless; 'lagotui {RUN} --help' lists the verbs and their options
  --events json      with {RUN}: narrate on stderr as one JSON object an event
  --version          say which version this is
  -h, --help         this text

example:
  alias lago='lagotui {RUN}'
  lago up sample_initfiles/hello.yaml && lago status && lago shell alice
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (default: this process's own); return the exit code."""
    secure()
    words = list(sys.argv[1:] if argv is None else argv)
    return _run_ui() if not words else _written(words)


def _written(words: list[str]) -> int:
    """Do what needs no screen, down to the last byte of what it says."""
    try:
        code = _run_words(words)
        sys.stdout.flush()
    except KeyboardInterrupt:
        tell(sys.stderr, "error: interrupted\n")
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        mute(sys.stdout)
        return ExitCode.PIPE_CLOSED
    except OSError as failure:
        mute(sys.stdout)
        tell(sys.stderr, f"error: the result cannot be written: {failure.strerror}\n")
        return ExitCode.USER_ERROR
    return code


def _run_words(words: list[str]) -> int:
    if words == ["--version"]:
        sys.stdout.write(f"lagotui {__version__}\n")
        return ExitCode.OK
    if RUN in words:
        split = words.index(RUN)
        return _run_headless(words[:split], words[split + 1 :])
    if words in (["-h"], ["--help"]):
        sys.stdout.write(USAGE)
        return ExitCode.OK
    return _usage_error(f"'{words[0]}' is not an option of lagotui; a verb goes behind {RUN}")


def _run_headless(before: list[str], after: list[str]) -> int:
    if before not in ([], ["--events", "json"], ["--events=json"]):
        return _usage_error(f"only '--events json' may stand before {RUN}, not '{' '.join(before)}'")
    from .headless import run

    return run(after, events_json=bool(before))


def _run_ui() -> int:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return _usage_error(f"the UI needs a terminal; without one use: lagotui {RUN} VERB")
    from .app import run_app

    return run_app()


def _usage_error(message: str) -> int:
    tell(sys.stderr, f"lagotui: {message}\n{USAGE}")
    return ExitCode.USER_ERROR
