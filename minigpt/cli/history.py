"""`inspect-probs --history`: a run and a text in; what its models expected, as it learned, out."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from minigpt.cli.guard import stdout
from minigpt.cli.page import ViewPage
from minigpt.render.history import history_table
from minigpt.render.machine import to_json
from minigpt.render.screen import Screen

if TYPE_CHECKING:
    from minigpt.checkpoint.folder import Checkpoint


def show_history(run: "Checkpoint", text: str, tracked: Sequence[str], top: int, *, json: bool, page: ViewPage) -> None:
    """`tracked`: texts that are each one token, or `#ID`; without them the `top` best of the final model."""
    from minigpt.checkpoint.folder import load
    from minigpt.checkpoint.snapshots import snapshots
    from minigpt.inspection.history import history
    from minigpt.text.single import single_token

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
    if json:
        print(to_json({"rows": rows}))
        return
    console = stdout()
    for line in history_table(rows, text, Screen.of(console)):
        console.print(line, soft_wrap=True)
