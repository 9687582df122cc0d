"""Which scheme of quantization is the fastest here: measured once on a machine, then remembered."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from ...core.atomic import atomic_write
from ...core.cache import cache_root
from ...core.processor import processor_name
from ...core.threads import SMALL_STEP, one_thread
from .quantized_linear import QuantizedLinear, quantize_matrix

logger = logging.getLogger(__name__)

FILE = "fastest_quantization.json"
# What "auto" chooses among, the most exact first. Not int4: whether its loss is worth it is not a question of
# time.
CANDIDATES = (None, "bf16", "int8")
ROWS = 2  # one prompt, with guidance
# A less exact scheme must save this part of the time.
MARGIN = 0.1
# Enough weights that a processor's cache does not hold them, where the model has as many.
MAX_WEIGHTS = 64_000_000
ROUNDS = 7


def fastest_scheme(model: nn.Module) -> str | None:
    """The fastest of CANDIDATES for a model's layers on this CPU; None is float32.

    The first call for a size of model measures, a second or two, and keeps the answer in `cache_root()` under
    the names of processor and torch; where that cannot be written, the next process measures again. Once
    remembered it does not change, and so the same seed gives the same sound.

    Args:
        model: an AudioLM; its weights do not matter.
    """
    file, key = cache_root() / FILE, machine_key(model)
    known = _read(file)
    if key in known and known[key] in CANDIDATES:
        return known[key]
    seconds = measure(model)
    best = None
    for scheme in CANDIDATES[1:]:
        if seconds[scheme] < (1 - MARGIN) * seconds[best]:
            best = scheme
    shown = ", ".join(f"{scheme or 'float32'} {1000 * seconds[scheme]:.2f} ms" for scheme in CANDIDATES)
    logger.info("measured a step's products: %s; chosen: %s", shown, best or "float32")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(file) as opened:
            opened.write((json.dumps(_read(file) | {key: best}, indent=2, sort_keys=True) + "\n").encode())
    except OSError as error:
        logger.warning("cannot remember the fastest quantization in %s (%s)", file, error)
    return best


def machine_key(model: nn.Module) -> str:
    """What an answer holds for: processor, threads, torch, and the class of the model's size."""
    threads = 1 if _is_small(model) else torch.get_num_threads()
    return " | ".join(
        [
            processor_name(),
            f"{threads} threads",
            f"torch {torch.__version__}",
            f"2^{_count(model).bit_length()} weights",
        ]
    )


def measure(model: nn.Module) -> dict[str | None, float]:
    """Seconds of the layers' products for one step, by scheme."""
    shapes = [
        (module.out_features, module.in_features)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
        and name.startswith("transformer.")
        and not name.endswith("key_value")
    ]
    weights = 0
    for count, (outputs, inputs) in enumerate(shapes, 1):
        weights += outputs * inputs
        if weights >= MAX_WEIGHTS:
            shapes = shapes[:count]
            break
    generator = torch.Generator().manual_seed(0)
    rows = {width: torch.randn(ROWS, width, generator=generator) for _, width in shapes}
    found = {}
    with torch.inference_mode(), one_thread(_is_small(model)):
        for scheme in CANDIDATES:
            # Weights of their own, so that they are read from memory as those of a model are.
            products = [_product(shape, scheme, generator) for shape in shapes]
            work = list(zip(products, (rows[width] for _, width in shapes), strict=True))
            times = []
            for _ in range(ROUNDS):
                begin = time.perf_counter()
                for product, x in work:
                    product(x)
                times.append(time.perf_counter() - begin)
            # The quickest: what else the machine does makes a round slower, never faster.
            found[scheme] = min(times)
    return found


def _count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _is_small(model: nn.Module) -> bool:
    """As `is_small`, of a model whose weights are not there yet."""
    return _count(model) * ROWS < SMALL_STEP


def _product(
    shape: tuple[int, int], scheme: str | None, generator: torch.Generator
) -> Callable[[Tensor], Tensor]:
    weight = torch.randn(shape, generator=generator) * 0.02
    if scheme is None:
        return lambda x: torch.mm(x, weight.t())
    module = QuantizedLinear(shape[1], shape[0], bias=False, kind=scheme)
    module.set_weight(*quantize_matrix(weight, scheme))
    return module.rows()


def _read(file: Path) -> dict[str, str | None]:
    """What is remembered; nothing where the file is missing or damaged."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
