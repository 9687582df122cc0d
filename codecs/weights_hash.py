"""Hash the weights of a codec, the same on every machine; fold weight normalisation into weights."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

# What training notes down beside a codebook; a sound does not depend on it.
_BOOKKEEPING = ("inited", "cluster_size", "embed_avg")

# Of each module, which tensors were hashed, in which state, and the result.
_known: WeakKeyDictionary[nn.Module, tuple[list[tuple[int, int]], str]] = WeakKeyDictionary()
_lock = threading.Lock()


def weights_hash(module: nn.Module) -> str | None:
    """Tell trainings apart: 8 hexadecimal digits of the weights, the same on every machine and device.

    None for what has no weights.

    It is a SHA-256 over the SHA-256s, in ascending order, of every parameter and codebook as bfloat16: so it
    does not depend on whether weights are kept as float32 or bfloat16, in which file or folder they were, nor
    on what a later version of this package calls its layers. (Weights in float16 are others.)

    It is worked out once, in about 0.3 s for 100 million weights on one core, and again after weights were
    changed or moved.
    """
    tensors = list(_weights(module))
    if not tensors:
        return None
    state = [(tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version) for tensor in tensors]
    with _lock:
        if module not in _known or _known[module][0] != state:
            digests = sorted(map(_digest, tensors))
            _known[module] = state, hashlib.sha256(b"".join(digests)).hexdigest()[:8]
        return _known[module][1]


def fold_weight_norm(gain: Tensor, direction: Tensor) -> Tensor:
    """The weight that a weight normalisation stands for, the same on every machine to the last bit.

    `torch.nn.utils.weight_norm` sums squares in an order that depends on the processor, which shows in the
    last bit, and so in `weights_hash`; here they are summed one after the other, in float64.

    Args:
        gain: `weight_g`, `[N, 1, ...]`.
        direction: `weight_v`, `[N, ...]`.

    Returns:
        Float32 of the shape of `direction`: gain · direction / |direction|, norm over all axes but the first.
    """
    v = direction.detach().double()
    norm = v.square().flatten(1).cumsum(1)[:, -1].sqrt()  # `sum` would add in another order
    return (gain.detach().double() / norm.reshape_as(gain) * v).float()


def _weights(module: nn.Module) -> Iterator[Tensor]:
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point() and name.rpartition(".")[2] not in _BOOKKEEPING:
            yield tensor


def _digest(tensor: Tensor) -> bytes:
    # Rounded on the CPU, so that no device can do it in its own way.
    bits = tensor.detach().cpu().to(torch.bfloat16).contiguous().view(torch.int16).numpy()
    return hashlib.sha256(bits.astype("<i2", copy=False).tobytes()).digest()
