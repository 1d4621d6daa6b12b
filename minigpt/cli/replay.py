"""`minigpt sample --replay`: repeats a trace, or scores its tokens with another checkpoint."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minigpt.cli.console import stderr, stdout
from minigpt.cli.view import print_view
from minigpt.errors import ConfigError, TraceError, named
from minigpt.render.machine import to_json
from minigpt.render.replay import replay_caption, replay_finding, rescoring_table
from minigpt.render.screen import Screen
from minigpt.render.style import safe_text, symbols_for
from minigpt.render.work import WorkDisplay
from minigpt.settings import SampleConfig

if TYPE_CHECKING:
    from minigpt.app.replay_run import ReplayRun

_GO_WITH_REPLAY = ("replay", "checkpoint", "device", "threads", "json", "top", "quiet", "config")


def replay(path: Path, given: Mapping[str, Any]) -> None:
    """Replay the trace at `path`; `given`: the flags that were given, by their names in Python."""
    other = next((name for name in given if name not in _GO_WITH_REPLAY), None)
    if other is not None:
        flag = "the prompt" if other == "prompt" else named(other)
        raise ConfigError(f"{named('replay')} takes the prompt and all settings from the trace: leave out {flag}.")
    from minigpt.app.replay_run import ReplayRun

    run = ReplayRun.open(path, given)
    if not run.changed:
        _print_again(path, run, given)
        return
    with _progress(run) as advance:
        result = run.elsewhere(advance, given.get("top", SampleConfig.top))
    print_view(result, lambda screen: rescoring_table(result, screen), json=bool(given.get("json")), about=run.about)


def _print_again(path: Path, run: "ReplayRun", given: Mapping[str, Any]) -> None:
    """Print the texts on standard output, as for any sample, and the result on standard error; for a tree, only the
    result.

    Raises TraceError if something else comes out.
    """
    with _progress(run) as advance:
        result, texts = run.again(advance)
    out, err = stdout(), stderr()
    if given.get("json"):
        print(to_json(result, **run.about()), flush=True)
    if not result.agrees:
        raise TraceError(replay_finding(str(path), result, symbols_for(err.encoding)))
    if given.get("json"):
        return
    for number, text in enumerate(texts):
        out.file.write(("\n" if number else "") + safe_text(text) + "\n")
    if not texts:
        out.print(replay_caption(result, Screen.of(out)))
    else:
        err.print(replay_caption(result, Screen.of(err)))


@contextmanager
def _progress(run: "ReplayRun") -> Iterator[Callable[[int], None]]:
    with WorkDisplay(stderr()) as work:
        yield work.begin("replaying", len(run.trace.steps), "tokens")
