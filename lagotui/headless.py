"""The headless door: one Lago command line → the engine. Result on stdout, narration on stderr, an exit code."""

from __future__ import annotations

import shlex
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from . import __version__
from .exit_codes import ExitCode
from .streams import mute
from .verbs import VERBS, Command, Verb, command
from .verbs.narration import Narrator, narrator
from .verbs.options import RunOptions, WrongWords, parse_run, parser_for_run, parser_for_verb

if TYPE_CHECKING:
    from .verbs.session import OpenEngine


def run(words: Sequence[str], *, events_json: bool = False, open_engine: OpenEngine | None = None) -> int:
    """Run what follows `--run`; return the exit code.

    Args:
        words: global options, the verb, its arguments.
        events_json: narrate as JSON lines.
        open_engine: how the engine is made of the settings, when it is needed; None makes the real one.
    """
    try:
        options = parse_run(words)
    except WrongWords as wrong:
        narrator(sys.stderr, as_json=events_json or _asks_for_json(words)).misunderstood(wrong.prog, wrong.usage, wrong.message)
        return ExitCode.USER_ERROR
    except SystemExit as leave:
        return int(leave.code or 0)
    if options.version:
        sys.stdout.write(f"lagotui {__version__}\n")
        return ExitCode.OK
    if options.verb is None:
        sys.stdout.write(parser_for_run().format_help())
        return ExitCode.UNEXPECTED
    as_json = events_json or options.events_json
    return _guarded(options, narrator(sys.stderr, as_json=as_json), open_engine)


def _asks_for_json(words: Sequence[str]) -> bool:
    """Whether a command line that cannot be understood asks for its complaint as JSON."""
    return "--events=json" in words or ("--events", "json") in pairwise(words)


def _guarded(options: RunOptions, voice: Narrator, open_engine: OpenEngine | None) -> int:
    """Run one verb; turn everything that can leave it into a message and an exit code."""
    try:
        code = _run_verb(options, voice, open_engine)
        sys.stdout.flush()
        return code
    except WrongWords as wrong:
        voice.misunderstood(wrong.prog, wrong.usage, wrong.message)
        return ExitCode.USER_ERROR
    except SystemExit as leave:
        return _exit_code(leave, voice)
    except BrokenPipeError:
        mute(sys.stdout)
        return ExitCode.PIPE_CLOSED
    except KeyboardInterrupt:
        voice.failed("interrupted", "", ExitCode.INTERRUPTED)
        return ExitCode.INTERRUPTED
    except Exception as failure:
        return _report(failure, options, voice)
    finally:
        voice.close()


def _exit_code(leave: SystemExit, voice: Narrator) -> int:
    """Return the exit code of what left by itself, as Python understands it: anything but a number is a complaint."""
    if leave.code is None or isinstance(leave.code, int):
        return leave.code or ExitCode.OK
    voice.failed(str(leave.code), "", ExitCode.UNEXPECTED)
    return ExitCode.UNEXPECTED


def _run_verb(options: RunOptions, voice: Narrator, open_engine: OpenEngine | None) -> int:
    from .verbs.session import Session

    _require_folder()
    found = _find_command(options, voice)
    if found is None:
        return ExitCode.USER_ERROR
    verb, chosen = found
    arguments = _parse_verb(options, verb, chosen)
    session = Session.open(options.settings, options.verb or "", voice, open_engine)
    try:
        return chosen.run(session, arguments)
    finally:
        session.close()


def _require_folder() -> None:
    from engine.errors import WorkdirError

    try:
        Path.cwd()
    except FileNotFoundError as gone:
        raise WorkdirError("the folder that you are in has been removed", hint="cd to one that is there") from gone


def _find_command(options: RunOptions, voice: Narrator) -> tuple[Verb, Command] | None:
    verb = options.verb or ""
    if verb in VERBS:
        return VERBS[verb], command(verb)
    from .verbs.plugged import plugged_verb

    plugged = plugged_verb(verb)
    if plugged is not None:
        return plugged
    from difflib import get_close_matches

    near = get_close_matches(verb, VERBS, n=1)
    hint = f"did you mean '{near[0]}'?" if near else "see the verbs with: lagotui --run --help"
    voice.failed(f"there is no verb '{verb}'", hint, ExitCode.USER_ERROR)
    return None


def _parse_verb(options: RunOptions, verb: Verb, chosen: Command) -> Namespace:
    if chosen.add_arguments is None:
        return Namespace(words=options.rest)
    parser = parser_for_verb(options.verb or "", verb)
    chosen.add_arguments(parser)
    return parser.parse_args(options.rest)


def _report(failure: Exception, options: RunOptions, voice: Narrator) -> int:
    from engine.errors import EngineError

    from .verbs.session import Interrupted

    if isinstance(failure, Interrupted):
        voice.failed(str(failure), "", failure.exit_code)
        return failure.exit_code
    causes = list(_leaves(failure))
    code = max(_code_of(each) for each in causes)
    for each in causes:
        if isinstance(each, EngineError):
            voice.failed(each.message, each.hint, each.exit_code)
        elif isinstance(each, OSError) and not options.is_debug:
            seen = f"; who may: ls -ld {shlex.quote(str(each.filename))}" if isinstance(each, PermissionError) and each.filename else ""
            voice.failed(_os_message(each), f"the whole story: add -l debug{seen}", code)
        else:
            voice.failed(f"unexpected: {type(each).__name__}: {each}", "this is a bug in lagotui; please report the lines below", code)
            voice.trace(each)
    return code


def _code_of(failure: BaseException) -> int:
    from engine.errors import EngineError

    if isinstance(failure, EngineError):
        return failure.exit_code
    return int(ExitCode.USER_ERROR if isinstance(failure, PermissionError) else ExitCode.UNEXPECTED)


def _leaves(failure: BaseException) -> Iterator[BaseException]:
    if isinstance(failure, BaseExceptionGroup):
        for each in failure.exceptions:
            yield from _leaves(each)
    else:
        yield failure


def _os_message(failure: OSError) -> str:
    where = f": '{failure.filename}'" if failure.filename else ""
    return f"{failure.strerror or type(failure).__name__}{where}"
