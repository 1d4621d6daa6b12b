"""Tokens in; their vectors, the tokens nearest to each, and how near they are to one another, out."""

from collections.abc import Sequence

import torch
from torch import Tensor

from minigpt.models.kinds import Model
from minigpt.sampling.distribution import best_ids, token_text
from minigpt.text.tokenizer import Tokenizer
from minigpt.views.records import Neighbour, TokenVector


def token_vectors(model: Model, tokenizer: Tokenizer, tokens: Sequence[int], *, top: int) -> list[TokenVector]:
    """A record for each of `tokens`: its row of `wte`, and the `top` others with the largest cosine, ties by id.

    A cosine is 1 for vectors of one direction, 0 for those at right angles; in float64. Where `wte` is tied, a
    token's vector is also what its logit is the product with, so near tokens are expected in similar places.
    """
    table_VC = model.wte.weight.detach().cpu().double()
    cosines_NV = _cosines(table_VC[list(tokens)], table_VC)
    return [
        _record(tokenizer, token, table_VC[token], cosines_V, tokens, top)
        for token, cosines_V in zip(tokens, cosines_NV, strict=True)
    ]


def _cosines(some_NC: Tensor, all_VC: Tensor) -> Tensor:
    """[N, V], NaN where one of both is zero."""
    lengths_NV = some_NC.norm(dim=-1)[:, None] * all_VC.norm(dim=-1)
    cosines_NV: Tensor = some_NC @ all_VC.T / lengths_NV
    return cosines_NV.clamp(-1, 1)  # rounding goes beyond


def _record(
    tokenizer: Tokenizer, token: int, vector_C: Tensor, cosines_V: Tensor, tokens: Sequence[int], top: int
) -> TokenVector:
    data = tokenizer.token_bytes(token)
    others_V = cosines_V.clone().nan_to_num(-torch.inf)
    others_V[token] = -torch.inf
    nearest = [i for i in best_ids(others_V, top) if others_V[i] > -torch.inf]
    return TokenVector(
        id=token,
        text=token_text(data),
        bytes=data.hex(),
        norm=float(vector_C.norm()),
        mean=float(vector_C.mean()),
        vector=tuple(vector_C.tolist()),
        neighbours=tuple(_neighbour(tokenizer, i, float(cosines_V[i])) for i in nearest),
        cosines=tuple(None if cosine.isnan() else float(cosine) for cosine in cosines_V[list(tokens)]),
    )


def _neighbour(tokenizer: Tokenizer, token: int, cosine: float) -> Neighbour:
    data = tokenizer.token_bytes(token)
    return Neighbour(id=token, text=token_text(data), bytes=data.hex(), cosine=cosine)
