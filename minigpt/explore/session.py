"""The state of an exploration: the place in a tree of tokens, and what each key does there. Knows no terminal."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from minigpt.checkpoint.files import write_text
from minigpt.errors import MinigptError, OutputError, spelled
from minigpt.explore.game import FIRST_SHARE, SHARES, Round, result
from minigpt.explore.keys import SETTINGS, neighbour
from minigpt.render.heat import SCALES
from minigpt.sampling.records import StepRecord
from minigpt.sampling.tree import TokenTree
from minigpt.settings import SampleConfig

_ESCAPES = (("\\n", "\n"), ("\\t", "\t"), ("⏎", "\n"), ("⇥", "\t"), ("␣", " "))


class Session:
    """One person's place in a tree. `here` is the current node, on the branch that ends in `tip`.

    `cursor` counts the candidates above the marked one. `mode` is browse, find, save, export, game or help: it decides
    what keys do. `save` writes the whole tree to a new file, or raises OutputError.
    """

    def __init__(self, tree: TokenTree, config: SampleConfig, save: Callable[[Path], None]) -> None:
        self.tree, self.config, self._save = tree, config, save
        self.here = self.tip = tree.prompt_end
        self.mode = "browse"
        self.heat: str | None = None
        self.cursor = 0
        self.rows = 1  # candidates on a page: the screen says how many
        self.typed = ""
        self.message = ""  # the answer to the last key, where it has one
        self.rounds: list[Round] = []
        self._share = FIRST_SHARE
        self.left = False

    # What is there

    def branch(self) -> tuple[int, ...]:
        """The nodes from the first one to the tip."""
        return self.tree.path(self.tip)

    def after(self, node: int) -> int | None:
        """The next node on the branch."""
        branch = self.branch()
        at = branch.index(node) + 1
        return branch[at] if at < len(branch) else None

    @property
    def share(self) -> float:
        """The probability put on the next guess."""
        return SHARES[self._share]

    def page(self, first: int, rows: int) -> tuple[StepRecord, int]:
        """`rows` of the list from candidate `first` on, and the length of the list."""
        config = replace(self.config, top=max(1, rows))
        if self.mode == "find":
            return self.tree.find(self.here, _unescaped(self.typed), config, first=first)
        record = self.tree.next(self.here, config, first=first)
        return record, len(record.candidates) + (record.other.count if record.other else 0)

    def marked_page(self) -> tuple[StepRecord, int]:
        """The page that shows the mark, and the mark's row on it."""
        first = self.cursor // self.rows * self.rows
        return self.page(first, self.rows)[0], self.cursor - first

    # Keys

    def press(self, key: str, character: str | None = None) -> None:
        """Handle a key; a mistake is reported in `message`, and leaves the tree unchanged."""
        self.message = ""
        handlers = {
            "browse": self._browse,
            "find": self._find,
            "save": self._name_file,
            "export": self._name_file,
            "game": self._play,
            "help": self._read_help,
        }
        try:
            handlers[self.mode](key, character)
        except MinigptError as error:
            self.message = " ".join(spelled(error.message, _as_words).split("\n"))

    def paste(self, text: str) -> None:
        """Handle pasted text: only while something is being typed."""
        if self.mode in ("find", "save", "export", "game"):
            self.typed += text.removesuffix("\n")
            self.cursor = 0

    def _browse(self, key: str, character: str | None) -> None:
        actions: dict[str, Callable[[], None]] = {
            "enter": self._append,
            "space": lambda: self._go(self.tree.draw(self.here, self.config)),
            "left": lambda: self._move(-1),
            "backspace": lambda: self._move(-1),
            "right": lambda: self._move(1),
            "shift+left": lambda: self._move(-10),
            "shift+right": lambda: self._move(10),
            "home": lambda: self._go(0),
            "end": lambda: self._go(self.tip),
            "tab": lambda: self._turn(1),
            "shift+tab": lambda: self._turn(-1),
            "slash": lambda: self._begin("find"),
            "h": self._next_heat,
            "g": lambda: self._begin("game"),
            "s": lambda: self._begin("save", "tree.jsonl"),
            "e": lambda: self._begin("export", "branch.txt"),
            "question_mark": lambda: self._begin("help"),
            "q": self._leave,
        }
        if key in actions:
            actions[key]()
        elif not self._choose(key):
            self._set(character or "")

    def _find(self, key: str, character: str | None) -> None:
        if key == "enter":
            self._append()
        elif not self._choose(key):
            self._type(key, character)

    def _name_file(self, key: str, character: str | None) -> None:
        if key != "enter":
            self._type(key, character)
        elif self.typed.strip():
            write = self._save if self.mode == "save" else self._export
            write(Path(self.typed).expanduser())
            self.message = f"{self.typed} is written."
            self._begin("browse")

    def _play(self, key: str, character: str | None) -> None:
        if key == "enter":
            self._bet()
        elif key in ("up", "down"):
            self._share = max(0, min(self._share + (1 if key == "up" else -1), len(SHARES) - 1))
        else:
            self._type(key, character)
            self.message = result(self.rounds) if self.mode != "game" else ""

    def _read_help(self, key: str, character: str | None) -> None:
        if key in ("escape", "enter", "q", "question_mark"):
            self._begin("browse")

    def _type(self, key: str, character: str | None) -> None:
        """Add or delete a letter; escape leaves the line."""
        if key == "escape":
            self._begin("browse")
        elif key == "backspace":
            self.typed = self.typed[:-1]
        elif key == "ctrl+u":
            self.typed = ""
        elif character and character.isprintable():
            self.typed += character
        self.cursor = 0

    # What they do

    def _leave(self) -> None:
        self.left = True

    def _begin(self, mode: str, typed: str = "") -> None:
        self.mode, self.typed, self.cursor = mode, typed, 0
        if mode == "game":
            self.rounds, self._share = [], FIRST_SHARE

    def _choose(self, key: str) -> bool:
        """Move the mark in the list; returns whether `key` does that."""
        steps = {"up": -1, "down": 1, "pageup": -self.rows, "pagedown": self.rows}
        if key in steps:
            self.cursor = max(0, min(self.cursor + steps[key], self.page(0, 1)[1] - 1))
        return key in steps

    def _go(self, node: int) -> None:
        """Move to `node`, on the current branch if it contains the node, otherwise on the newest one that does."""
        self.tip = self.tip if node in self.branch() else self.tree.leaf(node)
        self.here, self.cursor = node, 0

    def _move(self, by: int) -> None:
        """Move this many tokens forward or back along the branch."""
        branch = self.branch()
        self._go(branch[max(0, min(branch.index(self.here) + by, len(branch) - 1))])

    def _append(self) -> None:
        """Append the marked token, if any is listed."""
        record, at = self.marked_page()
        if record.candidates:
            self._go(self.tree.append(self.here, record.candidates[at].id, self.config))
            self._begin("browse")

    def _turn(self, by: int) -> None:
        """Move to the tip of the next branch in the picture, or of the one before."""
        tips = list(self.tree.leaves())
        self._go(tips[(tips.index(self.tip) + by) % len(tips)])

    def _set(self, letter: str) -> None:
        """Change a setting by its letter: small for less, capital for more."""
        spec = SETTINGS.get(letter.lower())
        if spec is not None:
            value: Any = neighbour(spec.steps, getattr(self.config, spec.setting), more=letter.isupper())
            self.config = replace(self.config, **{spec.setting: value})

    def _next_heat(self) -> None:
        names = [None, *SCALES]
        self.heat = names[(names.index(self.heat) + 1) % len(names)]

    def _export(self, path: Path) -> None:
        if path.exists():
            raise OutputError(f"{path} exists already: choose another name.")
        write_text(path, self.tree.text(self.here))

    def _bet(self) -> None:
        """End a round: what comes next, and what it costs both."""
        tree, here, guess, after = self.tree, self.here, self.tree.first_token(self.typed), self.after(self.here)
        node = tree.draw(here, self.config) if after is None else after
        came = tree.token(node).id
        asked = [came] if guess is None else [came, guess.id]
        found = {candidate.id: candidate for candidate in tree.candidates(here, asked, self.config)}
        model_bits = tree.bits(here, came)
        self.rounds.append(
            Round(
                guess=None if guess is None else found[guess.id],
                guess_bits=None if guess is None else tree.bits(here, guess.id),
                share=self.share,
                came=found[came],
                drawn=after is None,
                person_bits=model_bits if guess is None else tree.bet_bits(here, came, guess.id, self.share),
                model_bits=model_bits,
                typed=self.typed,
            )
        )
        self._go(node)
        self.typed = ""


def _unescaped(typed: str) -> str:
    """The text to search for: a newline and a tab may be typed as escapes, or as they are shown."""
    for escape, letter in _ESCAPES:
        typed = typed.replace(escape, letter)
    return typed


def _as_words(name: str, value: str | None) -> str:
    """A setting in a sentence of the explorer, which has keys and no flags: `top k 3`."""
    return f"{name.replace('_', ' ')} {value or ''}".rstrip()
