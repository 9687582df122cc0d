"""The models that ship do what they did: the numbers behind trained weights don't move unnoticed.

Codes are compared exactly: for this sound and these draws they are the same with SSE4, AVX2 and AVX-512, so
they don't hang on the last bits, in which processors and builds of torch differ. Floating-point values do,
and get a tolerance. Where a decoder was changed on purpose, `python -m tests.golden --write sound` remembers
the new sound; where weights were replaced, also `--write numbers`. Two commits on one machine are compared
bit by bit with `--hash`.
"""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.golden import FOLDER, KINDS, compute

# Relative to the largest value of a tensor, far above what SSE4, AVX2 and AVX-512 differ by.
TOLERANCE = {"numbers": 1e-4, "sound": 1e-3}


@pytest.fixture(scope="module")
def found() -> dict[str, dict[str, Tensor]]:
    return compute()


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_shipped_models_make_is_what_they_made(
    kind: str, found: dict[str, dict[str, Tensor]]
) -> None:
    remembered = load_file(FOLDER / f"{kind}.safetensors")
    assert found[kind].keys() == remembered.keys()
    for name, wanted in remembered.items():
        value = found[kind][name]
        assert value.shape == wanted.shape, name
        assert value.dtype == wanted.dtype, name
        if wanted.is_floating_point():
            allowed = TOLERANCE[kind] * float(wanted.abs().max())
            torch.testing.assert_close(
                value, wanted, rtol=0, atol=allowed, msg=lambda text, n=name: f"{n}: {text}"
            )
        else:
            assert torch.equal(value, wanted), (
                f"{name}: {int((value != wanted).sum())} of {wanted.numel()} differ"
            )
