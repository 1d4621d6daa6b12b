"""`sample --trace` and `sample --replay`: pieces into a trace as they come; a trace in, made again or scored, out."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minigpt.cli.guard import stderr, stdout
from minigpt.cli.view import print_view
from minigpt.errors import ConfigError, TraceError, named
from minigpt.render.machine import to_json
from minigpt.render.replay import replay_caption, replay_finding, rescoring_table
from minigpt.render.screen import Screen
from minigpt.render.style import safe_text, symbols_for
from minigpt.render.work import WorkDisplay
from minigpt.sampling.records import SampleEnd
from minigpt.settings import SampleConfig

if TYPE_CHECKING:
    from minigpt.checkpoint.folder import Checkpoint
    from minigpt.sampling.records import Replay
    from minigpt.sampling.trace import Trace, TraceHeader

_GO_WITH_REPLAY = ("replay", "checkpoint", "device", "threads", "json", "top", "quiet", "config")


def replay(path: Path, given: Mapping[str, Any]) -> None:
    """Replay the trace at `path`; `given`: the flags that were given, by their names in Python."""
    other = next((name for name in given if name not in _GO_WITH_REPLAY), None)
    if other is not None:
        flag = "the prompt" if other == "prompt" else named(other)
        raise ConfigError(f"{named('replay')} takes the prompt and all settings from the trace: leave out {flag}.")
    from minigpt.sampling.trace import Fingerprint, read_trace

    trace = read_trace(path)
    checkpoint = _open(path, trace.header, given)
    changed = trace.header.fingerprint.changes(Fingerprint.of(checkpoint.path))
    if not changed:
        _make_again(path, trace, checkpoint, given)
    elif "checkpoint" in given:
        _score_elsewhere(trace, checkpoint, given)
    else:
        raise TraceError(
            f"{checkpoint.path} is no longer what {path} was made with: its {' and '.join(changed)} changed.\n"
            f"Name a copy of that one with -c; -c {checkpoint.path} scores the same tokens on what it is now."
        )


def _open(path: Path, header: "TraceHeader", given: Mapping[str, Any]) -> "Checkpoint":
    """The checkpoint that was given, or the trace's own; device and threads too."""
    from minigpt.app.opening import open_checkpoint
    from minigpt.models.device import resolve_device

    folder = given.get("checkpoint", Path(header.checkpoint))
    if "checkpoint" not in given and not folder.is_dir():
        raise TraceError(
            f"{path} was made with the checkpoint {folder}, which is not there.\n"
            "Say with -c where it is now, or name another one to score the same tokens on it."
        )
    device = given.get("device")
    if device is None:
        try:
            device = str(resolve_device(header.device))
        except ConfigError:
            device = "auto"
    return open_checkpoint(folder, device, given.get("threads", min(header.threads, os.cpu_count() or 1)))


def _make_again(path: Path, trace: "Trace", checkpoint: "Checkpoint", given: Mapping[str, Any]) -> None:
    """Texts on standard output, as of any sample, and how it went on standard error; of a tree, how it went alone.

    Raises TraceError where something else comes out.
    """
    from minigpt.app.opening import about
    from minigpt.models.decoder import decoding_threads
    from minigpt.sampling.replay import ReplayTally, changes, check_tokens, redraw, rescore

    tally = ReplayTally(trace, drawn=trace.header.made_by == "sample")
    different, texts = changes(trace.header, checkpoint), {}
    with _progress(trace, given) as advance, decoding_threads(checkpoint.model):
        if trace.header.made_by == "sample":
            for piece in redraw(trace, checkpoint):
                if not tally.draw(piece.record):
                    break
                if isinstance(piece.record, SampleEnd):
                    texts[piece.record.sample] = piece.record.text
                advance(1)
        else:
            check_tokens(trace, checkpoint)
            for step, _, record in rescore(trace, checkpoint):
                tally.compare(step.record, record)
                advance(1)
    told = [texts[sample] for sample in sorted(texts)]
    _tell(path, tally.result(different), told, given, partial(about, checkpoint, prompt=trace.header.prompt))


def _tell(
    path: Path, result: "Replay", texts: list[str], given: Mapping[str, Any], about: Callable[[], Mapping[str, Any]]
) -> None:
    out, err = stdout(), stderr()
    if given.get("json"):
        print(to_json(result, **about()), flush=True)
    if not result.agrees:
        raise TraceError(replay_finding(str(path), result, symbols_for(err.encoding)))
    if given.get("json"):
        return
    for number, text in enumerate(texts):
        out.file.write(("\n" if number else "") + safe_text(text) + "\n")
    if not texts:
        out.print(replay_caption(result, Screen.of(out)))
    elif not given.get("quiet"):
        err.print(replay_caption(result, Screen.of(err)))


def _score_elsewhere(trace: "Trace", checkpoint: "Checkpoint", given: Mapping[str, Any]) -> None:
    """The table of the tokens at which another checkpoint differs most."""
    from minigpt.app.opening import about
    from minigpt.models.decoder import decoding_threads
    from minigpt.sampling.replay import RescoringTally, check_tokens, rescore

    check_tokens(trace, checkpoint)
    tally = RescoringTally()
    with _progress(trace, given) as advance, decoding_threads(checkpoint.model):
        for step, before, record in rescore(trace, checkpoint):
            tally.add(step, before, record)
            advance(1)
    result = tally.result(trace.header.checkpoint, str(checkpoint.path), given.get("top", SampleConfig().top))
    describe = partial(about, checkpoint, prompt=trace.header.prompt)
    print_view(result, lambda screen: rescoring_table(result, screen), json=bool(given.get("json")), about=describe)


@contextmanager
def _progress(trace: "Trace", given: Mapping[str, Any]) -> Iterator[Callable[[int], None]]:
    console = stderr()
    console.quiet = console.quiet or bool(given.get("quiet"))
    with WorkDisplay(console) as work:
        yield work.begin("replaying", len(trace.steps), "tokens")
