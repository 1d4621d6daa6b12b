"""`inspect-probs --history`: a run and a text in; what its models expected, as it learned, out."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from minigpt.cli.page import ViewPage
from minigpt.cli.view import print_view
from minigpt.errors import CheckpointError
from minigpt.render.history import history_table, layer_table
from minigpt.settings import require

if TYPE_CHECKING:
    from minigpt.checkpoint.folder import Checkpoint


_OWN = "run"  # the one of the checkpoint, as for --corpus


def history_run(named: Path, checkpoint: Path | None, *, both: bool) -> Path:
    """The run of --history: `run` is that of `checkpoint`, or the newest.

    Raises ConfigError where `both` are given, and are of two runs.
    """
    from minigpt.checkpoint.folder import find_folder
    from minigpt.checkpoint.runs import find_run, newest_run, run_of

    run = find_run(named)
    if str(named) != _OWN or run.is_dir():
        of = run_of(find_folder(checkpoint)) if both and checkpoint is not None else None
        require(
            of is None or of.resolve() == run.resolve(),
            f"--history {named} and --checkpoint {checkpoint} are of two trainings: leave one of them out.",
        )
        return run
    own = newest_run() if checkpoint is None else run_of(find_folder(checkpoint))
    if own is None:
        raise CheckpointError(f"{checkpoint} is no run of minigpt, so it keeps no history of its training.")
    return own


def show_history(run: "Checkpoint", text: str, tracked: Sequence[str], top: int, *, json: bool, page: ViewPage) -> None:
    """`tracked`: texts that are each one token, or `#ID`; without them the `top` best of the final model."""
    from minigpt.checkpoint.folder import load
    from minigpt.checkpoint.snapshots import snapshots
    from minigpt.text.single import single_token
    from minigpt.views.history import history

    rows = list(
        history(
            snapshots(run.path),
            lambda snapshot: load(snapshot.path, run.model.device).model,
            run.tokenizer,
            run.tokenizer.encode(text),
            tracked=[single_token(run.tokenizer, token) for token in tracked],
            top=top,
        )
    )
    page.history(rows)
    print_view({"rows": rows}, lambda screen: history_table(rows, text, screen), json=json, about=page.about)


def show_history_by_layer(
    run: "Checkpoint", text: str, ids: list[int], tracked: Sequence[str], *, json: bool, page: ViewPage
) -> None:
    """Of one token, by its text or `#ID`; without one, the final model's favourite."""
    from minigpt.checkpoint.folder import load
    from minigpt.checkpoint.snapshots import snapshots
    from minigpt.text.single import single_token
    from minigpt.views.history import history_by_layer

    require(len(tracked) < 2, f"--history --by-layer follows one token, not {len(tracked)}: give --track once.")
    token = single_token(run.tokenizer, tracked[0]) if tracked else None
    kept, device = snapshots(run.path), run.model.device
    rows = list(history_by_layer(kept, lambda s: load(s.path, device).model, run.tokenizer, ids, token=token))
    title = "When, and in which layer, a token was learned"
    page.show(title, lambda screen: layer_table(rows, text, screen), {"rows": rows}, json=json)
