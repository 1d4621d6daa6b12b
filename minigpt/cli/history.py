"""`inspect-probs --history`: a run's folder and a text in; what its models expected, as it learned, out."""

from collections.abc import Sequence
from pathlib import Path

from minigpt.cli.guard import stdout
from minigpt.render.history import history_table
from minigpt.render.machine import to_json
from minigpt.render.screen import Screen


def show_history(run: Path, text: str, tracked: Sequence[str], top: int, device: str, *, json: bool) -> None:
    """`tracked`: texts that are each one token, or `#ID`; without them the `top` best of the final model."""
    import torch

    from minigpt.checkpoint.folder import load
    from minigpt.checkpoint.snapshots import snapshots
    from minigpt.inspection.history import history
    from minigpt.text.single import single_token

    kept, target = snapshots(run), torch.device(device)
    tokenizer = load(run, target).tokenizer
    ids = tokenizer.encode(text)
    rows = list(
        history(
            kept,
            lambda snapshot: load(snapshot.path, target).model,
            tokenizer,
            ids,
            tracked=[single_token(tokenizer, token) for token in tracked],
            top=top,
        )
    )
    if json:
        print(to_json({"rows": rows}))
        return
    console = stdout()
    for line in history_table(rows, text, Screen.of(console)):
        console.print(line, soft_wrap=True)
