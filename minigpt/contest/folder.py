"""A comparison on disk: the measurements so far, the text's ids, and the run of every contender.

comparison.json   a Comparison, replaced whenever something more is known
tokenizer.json    of all contenders
resume/tokens/    the ids that they learn from
gpt-tokens/ ...   a run for each contender: with as many tokens as the others
gpt-time/ ...     and with as much time
"""

import json
from pathlib import Path

from minigpt.checkpoint.claim import claim
from minigpt.checkpoint.files import RESUME, RUN, TOKENIZER, read_own_json, write_text
from minigpt.checkpoint.run_folder import load_tokens, save_tokens
from minigpt.checkpoint.runs import near_run
from minigpt.contest.records import Comparison
from minigpt.errors import CheckpointError, OutputError, named
from minigpt.records import Misfit, from_plain, to_plain
from minigpt.text.shards import TokenData
from minigpt.text.tokenizer import Tokenizer

COMPARISON = "comparison.json"


def claim_comparison(name: str, out: Path | None) -> Path:
    """Create `out`, or checkpoints/compare-NAME, compare-NAME-2, ... Raises OutputError; nothing is replaced."""
    if out is not None and (out / COMPARISON).exists():
        raise OutputError(
            f"{named('out', out)} already holds a comparison. Go on with it: minigpt compare --resume {out}"
        )
    if out is not None and (out / RUN).exists():
        raise OutputError(f"{named('out', out)} already holds a run. Choose another folder.")
    return claim(f"compare-{name}", out, overwrite=False)


def newest_comparison(root: Path = Path("checkpoints")) -> Path:
    """The folder below `root` whose comparison was measured last. Raises CheckpointError if there is none."""
    found = [(path.stat().st_mtime, path.parent) for path in root.glob(f"*/{COMPARISON}")]
    if not found:
        raise CheckpointError(f"There is no comparison in ./{root} yet. Begin one with: minigpt compare YOUR-TEXT.txt")
    return max(found)[1]


def keep(folder: Path, comparison: Comparison, tokenizer: Tokenizer, data: TokenData) -> None:
    """Write everything that a comparison needs to continue."""
    write_text(folder / TOKENIZER, tokenizer.to_json() + "\n")
    try:
        (folder / RESUME).mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder / RESUME} cannot be made: {error.strerror}.") from error
    save_tokens(folder, data)
    save(folder, comparison)


def save(folder: Path, comparison: Comparison) -> None:
    """Replace the measurements so far."""
    write_text(folder / COMPARISON, json.dumps(to_plain(comparison), allow_nan=False) + "\n")


def open_comparison(folder: Path) -> tuple[Comparison, Tokenizer, TokenData]:
    """Read what `keep` and `save` wrote. Raises CheckpointError."""
    path = folder / COMPARISON
    if not path.exists():
        raise CheckpointError(f"{folder} holds no comparison: there is no {COMPARISON} in it.{near_run(folder)}")
    values = read_own_json(path)
    try:
        comparison = from_plain(Comparison, values)
    except Misfit as error:
        raise CheckpointError(error.of(path)) from error
    tokenizer, data = Tokenizer.from_file(folder / TOKENIZER), load_tokens(folder)
    if tokenizer.vocab_size != comparison.vocab_size or len(data.train) <= comparison.context:
        raise CheckpointError(f"{folder} cannot be gone on with: its tokenizer, its ids and {path.name} do not fit.")
    return comparison, tokenizer, data
