"""The demo as a newcomer meets it: demo.py FAIRLEAD. Pastes each printed curl line, edits as told, presses Ctrl-C."""

from __future__ import annotations

import os
import pathlib
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

from checks import check, eventually, finish

LAST_LINE = "Ctrl-C ends it"


class Demo:
    """A running `fairlead demo` on free ports, with the lines it has printed so far."""

    def __init__(self, binary: str, temporary: str):
        ports = ["--http-port=0", "--https-port=0", "--health-port=0", "--admin-address=127.0.0.1:0"]
        self.process = subprocess.Popen(
            [binary, "demo", *ports], env={**os.environ, "TMPDIR": temporary},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self.lines: list[str] = []
        self.ended = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
        self.ended.put(None)

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


def shell(line: str) -> subprocess.CompletedProcess:
    """A pasted line; only `-f` is added, so that an answer of 400 and more is an error."""
    line = line.replace("curl -s ", "curl -sf --max-time 10 ", 1)
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=30, check=False)


def main() -> int:
    with tempfile.TemporaryDirectory() as temporary:
        demo = Demo(str(pathlib.Path(sys.argv[1]).resolve()), temporary)
        try:
            return tour(demo, temporary)
        finally:
            demo.process.kill()
            demo.process.wait()


def tour(demo: Demo, temporary: str) -> int:
    check("the demo says what to try", eventually(lambda: LAST_LINE in demo.text, 20), demo.text)
    lines = [line.strip() for line in demo.lines if line.strip().startswith("curl ")]
    check("it prints four curl lines", len(lines) == 4, demo.text)
    for line in lines:
        done = shell(line)
        check(f"answers as pasted: {line.split()[-1]}", done.returncode == 0 and done.stdout.strip(), (line, done))

    edit = re.search(r"Edit (\S+), for example change (\S+) to (\S+):", demo.text)
    check("it names a file to edit", edit, demo.text)
    if edit and lines:
        file, before, after = pathlib.Path(edit[1]), edit[2], edit[3]
        printed = len(demo.lines)
        text = file.read_text()
        check("the file has what is to be changed", before in text, text)
        file.write_text(text.replace(before, after))
        moved = next((line.replace(before + "/", after + "/") for line in lines if before + "/" in line), "false")
        check("the edit is served", eventually(lambda: shell(moved).returncode == 0), moved)
        check("and told", eventually(lambda: any(after in line for line in demo.lines[printed:])), demo.text)

    started = time.monotonic()
    demo.process.send_signal(signal.SIGINT)
    try:
        code = demo.process.wait(10)
    except subprocess.TimeoutExpired:
        code = "still running"
    check("Ctrl-C: exit 0 soon", code == 0 and time.monotonic() - started < 5, (code, demo.text))
    demo.ended.get(timeout=5)
    check("nothing is left behind", not os.listdir(temporary), os.listdir(temporary))
    check("nothing panicked", "panicked" not in demo.text, demo.text)
    return finish()


if __name__ == "__main__":
    sys.exit(main())
