"""Draws the branches of a tree of texts, one per line."""

from collections.abc import Iterator
from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text

from minigpt.render.style import Symbols, fit, token_label
from minigpt.sampling.tree import TokenTree


def leaf_under(tree: TokenTree, node: int) -> int:
    """The end of the newest branch through `node`."""
    while children := tree.children(node):
        node = children[-1]
    return node


def leaves(tree: TokenTree) -> list[int]:
    """The ends of all branches, in the order of the picture."""
    return [stretch.nodes[-1] for stretch in _stretches(tree) if not tree.children(stretch.nodes[-1])]


@dataclass(frozen=True)
class _Stretch:
    """A part of the tree without a fork: its nodes, and what is drawn before them."""

    nodes: tuple[int, ...]
    stem: str  # a letter a level: B a branch, L the last one, | one that goes on further down, or a space


def _stretches(tree: TokenTree) -> Iterator[_Stretch]:
    """All stretches from the top down, each before its children."""
    waiting = [(0, "")]
    while waiting:
        first, stem = waiting.pop()
        nodes = [first]
        while len(children := tree.children(nodes[-1])) == 1:
            nodes.append(children[0])
        yield _Stretch(tuple(nodes), stem)
        around = stem.replace("B", "|").replace("L", " ")
        for child in reversed(children):
            waiting.append((child, around + ("L" if child == children[-1] else "B")))


def tree_picture(tree: TokenTree, here: int, tip: int, width: int, height: int, symbols: Symbols) -> Text:
    """The branches around `here`; the one that ends in `tip` is bright, and `here` is marked."""
    current = set(tree.path(tip))
    stretches = list(_stretches(tree))
    at = next(i for i, stretch in enumerate(stretches) if here in stretch.nodes)
    first = max(0, min(at - height // 2, len(stretches) - height))
    lines = []
    for stretch in stretches[first : first + height]:
        marked, bright = here in stretch.nodes, stretch.nodes[0] in current
        mark = symbols.chosen if marked else " "
        stem = _drawn(stretch.stem, width // 2, symbols)
        label = _label(tree, stretch, width - cell_len(mark + stem), symbols)
        line = Text().append(mark, "bold green").append(stem, "dim")
        lines.append(line.append(label, "bold green" if marked else "" if bright else "dim"))
    return Text("\n").join(lines)


def _drawn(stem: str, room: int, symbols: Symbols) -> str:
    """The lines before a branch; of very many levels, the last ones."""
    signs = dict(zip("BL|", symbols.tree, strict=True))
    drawn = "".join(signs.get(letter, " ") for letter in stem)
    return drawn if len(drawn) <= room else symbols.ellipsis + drawn[len(drawn) - room + 1 :]


def _label(tree: TokenTree, stretch: _Stretch, room: int, symbols: Symbols) -> str:
    """As many whole tokens as fit: the last ones of what all branches share, the first ones of a branch."""
    from_end = not stretch.stem
    nodes = stretch.nodes[::-1] if from_end else stretch.nodes
    taken: list[str] = []
    for i, node in enumerate(nodes):
        label = token_label(tree.token(node), symbols)
        rest = 0 if i == len(nodes) - 1 else cell_len(symbols.ellipsis)
        if cell_len("".join(taken) + label) + rest > room:
            break
        taken.append(label)
    if not taken:
        return fit(token_label(tree.token(nodes[0]), symbols), room, symbols)
    text = "".join(taken[::-1] if from_end else taken)
    if len(taken) == len(nodes):
        return text
    return symbols.ellipsis + text if from_end else text + symbols.ellipsis
