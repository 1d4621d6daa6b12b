"""Opens a model and a text for the explorer, runs it, and writes the files that the user asked for."""

import secrets
from pathlib import Path

from minigpt.app.opening import given_text, open_checkpoint
from minigpt.checkpoint.files import write_text
from minigpt.errors import OutputError, PackageError
from minigpt.explore.session import Files, Session
from minigpt.models.decoder import decoding_threads
from minigpt.models.kinds import gpt_of
from minigpt.render.style import Symbols
from minigpt.sampling.filters import read_biases
from minigpt.sampling.trace import TraceHeader, TraceWriter
from minigpt.sampling.tree import TokenTree
from minigpt.settings import AskedFilters, Exploring, Machine, SampleConfig, build

try:
    from minigpt.explore.app import Explorer
except ModuleNotFoundError as error:
    if (error.name or "").split(".")[0] != "textual":
        raise
    raise PackageError(
        "The explorer needs the package textual, not installed here.\n"
        "From your clone of minigpt: pip install -e '.[explore]'"
    ) from error


class Exploration:
    """An exploration of what one model could write, from the text `prompt` or in `file`."""

    def __init__(
        self,
        prompt: str | None,
        file: Path | None,
        checkpoint: Path | None,
        filters: AskedFilters,
        exploring: Exploring,
        machine: Machine,
    ) -> None:
        text = given_text(prompt, file)
        loaded = open_checkpoint(checkpoint, machine.device, machine.threads)
        self.checkpoint = loaded.path
        self._model = gpt_of(loaded.model, "explore goes back and forth in keys and values")
        drawn = {
            "seed": secrets.randbelow(1_000_000) if exploring.seed is None else exploring.seed,
            "top": exploring.top,
            "bias": read_biases(loaded.tokenizer, filters.biases),
        }
        config = build(SampleConfig, {**vars(filters), **drawn})
        self._tree = TokenTree(self._model, loaded.tokenizer, text, seed=config.seed)
        self._header = TraceHeader.of(loaded, text, config, made_by="explore")
        self._session = Session(self._tree, config, Files(save=self._save, export=self._export))

    def run(self, symbols: Symbols) -> int:
        """Run until the person leaves, or a signal ends it; returns the exit code."""
        app = Explorer(self._session, symbols)
        with decoding_threads(self._model):
            app.run(mouse=False)  # so that the terminal's own selecting and copying works
        return app.return_code or 0

    def text(self) -> str:
        """The text up to the current token."""
        return self._tree.text(self._session.here)

    def _export(self, path: Path, node: int) -> None:
        if path.exists():
            raise OutputError(f"{path} exists already: choose another name.")
        write_text(path, self._tree.text(node))

    def _save(self, path: Path) -> None:
        header, steps = self._tree.as_trace(self._header)
        if not steps:
            raise OutputError(
                "There is only the prompt so far, and a trace holds what follows it: append a token first."
            )
        with TraceWriter(path, header) as writer:
            for step in steps:
                writer.write(step)
