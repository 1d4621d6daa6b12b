"""The explorer as a full-screen application: it shows a session and passes keys to it. Needs Textual."""

import asyncio
import secrets
import signal
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import ClassVar

from rich.text import Text

from minigpt.app.opening import given_text, open_checkpoint
from minigpt.errors import OutputError, needs_extra
from minigpt.explore.keys import help_picture, settings_picture
from minigpt.explore.panes import NARROW, SMALLEST, Panes
from minigpt.explore.session import Session
from minigpt.models.decoder import decoding_threads
from minigpt.models.kinds import gpt_of
from minigpt.render.style import UNICODE, Symbols
from minigpt.sampling.filters import read_biases
from minigpt.sampling.trace import TraceHeader, TraceWriter
from minigpt.sampling.tree import TokenTree
from minigpt.settings import AskedFilters, Exploring, FileAndModel, Machine, SampleConfig, build

try:
    from textual import events
    from textual.app import App, ComposeResult
    from textual.binding import Binding, BindingType
    from textual.containers import Container, VerticalScroll
    from textual.geometry import Size
    from textual.widget import Widget
except ImportError as error:
    raise needs_extra("The explorer needs the package textual", "explore") from error


class Pane(Widget):
    """A part of the screen: the result of `draw` for its width and height."""

    def __init__(self, draw: Callable[[int, int], Text], id: str) -> None:
        super().__init__(id=id, markup=False)
        self._draw = draw

    def render(self) -> Text:
        return self._draw(self.size.width, self.size.height)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return self._draw(width, 0).plain.count("\n") + 1


class Explorer(App[None]):
    """The text above, the tree beside it, the distribution below, and the keys. `return_code` says how it ended."""

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    Screen { layout: vertical; overflow: hidden; }
    Pane { height: auto; text-wrap: nowrap; }
    #above { layout: horizontal; height: 30%; min-height: 6; }
    #text { width: 1fr; height: 100%; margin-right: 2; }
    #side { width: 35%; height: 100%; }
    #table { height: 1fr; }
    .narrow #above { layout: vertical; height: 5; min-height: 5; }
    .narrow #text { width: 100%; height: 3; }
    .narrow #side { width: 100%; height: 2; }
    .typing #settings { display: none; }
    #help, #small { display: none; height: 1fr; }
    .help #all, .small #all { display: none; }
    .help #help, .small #small { display: block; }
    .small #help { display: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+c", "stop(2)", priority=True)]  # whatever is being done

    def __init__(self, session: Session, symbols: Symbols = UNICODE) -> None:
        super().__init__(ansi_color=True)  # the terminal's own colours
        self._session, self._panes = session, Panes(session, symbols)

    def compose(self) -> ComposeResult:
        panes = self._panes
        with Container(id="all"):
            with Container(id="above"):
                yield Pane(panes.text, "text")
                yield Pane(panes.side, "side")
            yield Pane(panes.title, "title")
            yield Pane(panes.table, "table")
            yield Pane(lambda width, _: settings_picture(self._session.config, width), "settings")
            yield Pane(panes.line, "line")
        with VerticalScroll(id="help", can_focus=False):
            yield Pane(lambda width, _: help_picture(panes.screen(width)), "explained")
        yield Pane(lambda width, _: panes.too_small(self.size.width, self.size.height), "small")
        yield Pane(lambda width, _: panes.keys(width, small=self.screen.has_class("small")), "keys")

    def on_mount(self) -> None:
        """Let SIGTERM and a closed terminal end the explorer in order, unless they are ignored, as under nohup."""
        loop = asyncio.get_running_loop()
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) != signal.SIG_IGN:
                with suppress(NotImplementedError, RuntimeError):  # Windows; a thread that is not the main one
                    loop.add_signal_handler(number, self.action_stop, number)

    def on_resize(self, event: events.Resize) -> None:
        columns, lines = event.size
        self.screen.set_class(columns < NARROW, "narrow")
        self.screen.set_class(columns < SMALLEST[0] or lines < SMALLEST[1], "small")
        self._show()

    def on_key(self, event: events.Key) -> None:
        event.stop()
        event.prevent_default()
        if self.screen.has_class("small"):
            return
        self._session.press(event.key, event.character)
        if self._session.mode == "help":
            self._scroll(event.key)
        if self._session.left:
            self.exit()
        self._show()

    def on_paste(self, event: events.Paste) -> None:
        event.stop()
        self._session.paste(event.text)
        self._show()

    def action_stop(self, number: int) -> None:
        """Exit with the code of a program that signal `number` ended."""
        self.exit(return_code=128 + number)

    def _show(self) -> None:
        self.screen.set_class(self._session.mode == "help", "help")
        self.screen.set_class(self._session.mode != "browse", "typing")  # then a setting's key is a letter
        for pane in self.query(Pane):
            pane.refresh(layout=True)

    def _scroll(self, key: str) -> None:
        around = self.query_one("#help", VerticalScroll)
        moves: dict[str, Callable[..., None]] = {
            "up": around.scroll_up,
            "down": around.scroll_down,
            "pageup": around.scroll_page_up,
            "pagedown": around.scroll_page_down,
        }
        if key in moves:
            moves[key](animate=False)


class Exploration:
    """An exploration of what one model could write, from the text `prompt` or that of `source`."""

    def __init__(
        self, prompt: str | None, source: FileAndModel, filters: AskedFilters, exploring: Exploring, machine: Machine
    ) -> None:
        text = given_text(prompt, source.file)
        loaded = open_checkpoint(source.checkpoint, machine, reading=source)
        self.checkpoint = loaded
        self._model = gpt_of(loaded.model, "explore needs a key-value cache")
        seed = secrets.randbelow(1_000_000) if exploring.seed is None else exploring.seed
        bias = read_biases(loaded.tokenizer, filters.biases)
        config = build(SampleConfig, {**vars(filters), "seed": seed, "top": exploring.top, "bias": bias})
        tree = TokenTree(self._model, loaded.tokenizer, text, seed=seed)
        header = TraceHeader.of(loaded, text, config, made_by="explore")
        self._session = Session(tree, config, partial(_save, tree, header))

    def run(self, symbols: Symbols) -> int:
        """Run until the person leaves, or a signal ends it; returns the exit code."""
        app = Explorer(self._session, symbols)
        with decoding_threads(self._model):
            app.run(mouse=False)  # so that the terminal's own selecting and copying works
        return app.return_code or 0

    def text(self) -> str:
        """The text up to the current token."""
        return self._session.tree.text(self._session.here)


def _save(tree: TokenTree, header: TraceHeader, path: Path) -> None:
    header, steps = tree.as_trace(header)
    if not steps:
        raise OutputError("There is only the prompt so far, and a trace holds what follows it: append a token first.")
    with TraceWriter.open(path, header) as writer:
        for step in steps:
            writer.write(step.record, step)
