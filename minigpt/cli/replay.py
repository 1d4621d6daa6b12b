"""`minigpt sample --replay`: repeats a trace, or scores its tokens with another checkpoint."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from minigpt.cli.console import note, print_lines, stderr, stdout
from minigpt.errors import ConfigError, TraceError, named
from minigpt.render.machine import to_json
from minigpt.render.progress import WorkDisplay
from minigpt.render.replay import replay_caption, replay_finding, rescoring_table
from minigpt.render.screen import Screen
from minigpt.render.style import safe_text, symbols_for
from minigpt.sampling.records import Rescoring
from minigpt.settings import SampleConfig

_GO_WITH_REPLAY = ("replay", "checkpoint", "device", "threads", "json", "top", "quiet", "config")


def replay(path: Path, given: Mapping[str, Any]) -> None:
    """Replay the trace at `path`; `given`: the flags that were given, by their names in Python.

    The texts go to standard output, as for any sample, and the result to standard error; for a tree, to standard
    output. Raises TraceError if something else comes out.
    """
    other = next((name for name in given if name not in _GO_WITH_REPLAY), None)
    if other is not None:
        flag = "the prompt" if other == "prompt" else named(other)
        raise ConfigError(f"{named('replay')} takes the prompt and all settings from the trace: leave out {flag}.")
    from minigpt.app.sample_run import ReplayRun

    run, as_json = ReplayRun.open(path, given), bool(given.get("json"))
    note(*run.checkpoint.notes)
    err = stderr()
    with WorkDisplay(err) as work:
        advance = work.begin("replaying", len(run.trace.steps), "tokens")
        result, texts = run.run(given.get("top", SampleConfig.top), advance)
    if as_json:
        print(to_json(result, **run.checkpoint.about(prompt=run.trace.header.prompt)), flush=True)
    if isinstance(result, Rescoring):
        if not as_json:
            print_lines(partial(rescoring_table, result))
        return
    if not result.agrees:
        raise TraceError(replay_finding(str(path), result, symbols_for(err.encoding)))
    if as_json:
        return
    out = stdout()
    for number, text in enumerate(texts):
        out.file.write(("\n" if number else "") + safe_text(text) + "\n")
    console = err if texts else out
    console.print(replay_caption(result, Screen.of(console)))
