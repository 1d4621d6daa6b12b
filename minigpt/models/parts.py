"""The parts of a GPT that add to its residual stream, and which of them can be switched off. Loads no torch."""

from dataclasses import dataclass

ABLATIONS = {"zero": "the part adds nothing", "mean": "its output is replaced by its mean over the text"}


@dataclass(frozen=True, slots=True)
class Part:
    """What adds one vector to the residual stream of each token. Layers and heads count from 1.

    `kind` is head or mlp, which can be switched off, or token_embedding, position_embedding, attention_bias (that of a
    layer's `c_proj`, which belongs to no head) or final_norm_bias.
    """

    kind: str
    layer: int | None = None
    head: int | None = None

    @property
    def name(self) -> str:
        """As it is given and shown: `layer 2 head 3`, `layer 2 mlp`, `token embedding`."""
        words = f"head {self.head}" if self.kind == "head" else self.kind.replace("_", " ")
        return words if self.layer is None else f"layer {self.layer} {words}"


def parts_of_layer(layer: int, heads: int) -> list[Part]:
    """What can be switched off in a layer: its heads, then its MLP."""
    return [*(Part("head", layer, head) for head in range(1, heads + 1)), Part("mlp", layer)]
