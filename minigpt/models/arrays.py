"""Tensors as arrays, which everything beyond the models computes with."""

import numpy as np
import torch
from torch import Tensor


def as_array(tensor: Tensor) -> np.ndarray:
    """The numbers of a tensor on any device; those in bfloat16, which NumPy lacks, in float32.

    The memory is shared where that is possible.
    """
    tensor = tensor.detach().cpu()
    array: np.ndarray = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    return array
