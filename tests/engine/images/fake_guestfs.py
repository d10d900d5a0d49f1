"""Programs named as libguestfs's, which write down what they were asked and answer what the test says."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

PROGRAM = """#!{python}
import json, os, sys
with open({calls!r}, "a") as calls:
    environ = {{name: value for name, value in os.environ.items() if name.startswith("LIBGUESTFS")}}
    stdin = sys.stdin.read()
    files = {{word: open(word.removeprefix("file:")).read() for word in sys.argv if word.startswith("file:/tmp/")}}
    calls.write(json.dumps({{"argv": sys.argv, "stdin": stdin, "environ": environ, "files": files}}) + "\\n")
answers = json.load(open({answers!r}))
answer = answers.get(os.path.basename(sys.argv[0]), {{}})
sys.stdout.write(answer.get("stdout", ""))
sys.stderr.write(answer.get("stderr", ""))
sys.exit(answer.get("code", 0))
"""


@dataclass(frozen=True)
class Call:
    argv: list[str]
    stdin: str
    environ: dict[str, str]
    files: dict[str, str]
    """Word that names a file of its own → what was in it."""

    @property
    def program(self) -> str:
        return Path(self.argv[0]).name


@dataclass(frozen=True)
class FakeGuestfs:
    folder: Path

    def install(self, *programs: str) -> None:
        bin_folder = self.folder / "bin"
        bin_folder.mkdir(exist_ok=True)
        self.answers.write_text("{}")
        text = PROGRAM.format(python=sys.executable, calls=str(self.folder / "calls"), answers=str(self.answers))
        for program in programs:
            (bin_folder / program).write_text(text)
            (bin_folder / program).chmod(0o755)

    def answer(self, program: str, stdout: str = "", stderr: str = "", code: int = 0) -> None:
        answers = json.loads(self.answers.read_text())
        self.answers.write_text(json.dumps({**answers, program: {"stdout": stdout, "stderr": stderr, "code": code}}))

    @property
    def answers(self) -> Path:
        return self.folder / "answers"

    @property
    def calls(self) -> list[Call]:
        path = self.folder / "calls"
        return [Call(**json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []
