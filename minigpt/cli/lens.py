"""`inspect-probs --by-layer` and `--attribution`: a checkpoint and a text in; what is inside its next token, out."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from minigpt.cli.guard import stderr
from minigpt.cli.page import ViewPage
from minigpt.render.attribution import attribution_table
from minigpt.render.lens import lens_table
from minigpt.render.work import WorkDisplay
from minigpt.settings import require

if TYPE_CHECKING:
    from minigpt.checkpoint.folder import Checkpoint


def show_by_layer(
    loaded: "Checkpoint", text: str, ids: list[int], tracked: Sequence[str], top: int, *, json: bool, page: ViewPage
) -> None:
    """`tracked`: texts that are each one token, or `#ID`; without them the most likely one."""
    from minigpt.models.kinds import gpt_of
    from minigpt.text.single import single_token
    from minigpt.views.lens import by_layer

    followed = [single_token(loaded.tokenizer, token) for token in tracked]
    model = gpt_of(loaded.model, "--by-layer reads the stream from layer to layer")
    rows = by_layer(model, loaded.tokenizer, ids, tracked=followed, top=top)
    title = "What each layer would predict"
    page.show(title, lambda screen: lens_table(rows, text, screen), {"rows": rows}, json=json)


def show_attribution(
    loaded: "Checkpoint", ids: list[int], tracked: Sequence[str], *, json: bool, page: ViewPage, quiet: bool
) -> None:
    """`tracked`: the token to explain; without it the most likely one."""
    from minigpt.models.decoder import decoding_threads
    from minigpt.models.kinds import gpt_of
    from minigpt.models.kv_cache import window_start
    from minigpt.text.single import single_token
    from minigpt.views.attribution import leave_one_out

    require(len(tracked) < 2, f"--attribution explains one token, not {len(tracked)}: give --track once.")
    explained = single_token(loaded.tokenizer, tracked[0]) if tracked else None
    progress = stderr()
    progress.quiet = quiet
    model = gpt_of(loaded.model, "--attribution leaves tokens out of the keys and values")
    seen = len(ids) - window_start(len(ids), model.config.context)
    with WorkDisplay(progress) as work, decoding_threads(model):
        heard = work.begin("leaving out", seen, "tokens")
        record = leave_one_out(model, loaded.tokenizer, ids, token=explained, progress=heard)
    title = "What each token did for the next one"
    page.show(title, lambda screen: attribution_table(record, screen), record, json=json)
