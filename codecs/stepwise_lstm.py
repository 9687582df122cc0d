"""An LSTM that runs a long sound on a CPU by one product a step.

Source: Hochreiter and Schmidhuber 1997; gates as in `nn.LSTM`. Letters: T steps, B sounds, H width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BLOCK = 1024  # steps whose gates are kept at once


class StepwiseLSTM(nn.LSTM):
    """`nn.LSTM` with its weights and, up to rounding, its results; quicker for one sound without gradients.

    On a CPU oneDNN reads the recurrent weights more slowly than a product of each step does. Several sounds
    are left to it: it gives each the same bits however many are beside it, which products do not.
    """

    def forward(  # type: ignore[override]
        self, x: Tensor, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Sounds `[B, T, C]`, `[T, B, C]` unless `batch_first`, and a state, two of `[layers, B, H]`."""
        if not self._takes(x):
            return super().forward(x, state)
        steps = x.transpose(0, 1) if self.batch_first else x  # [T, B, C]
        shape = (self.num_layers, steps.shape[1], self.hidden_size)
        hidden, cell = state or (x.new_zeros(shape), x.new_zeros(shape))
        last, cells = [], cell.clone()
        for layer, (output, memory) in enumerate(zip(hidden, cells, strict=True)):
            steps = self._run(layer, steps, output, memory)
            last.append(steps[-1])
        return steps.transpose(0, 1) if self.batch_first else steps, (torch.stack(last), cells)

    def _takes(self, x: Tensor) -> bool:
        plain = not (self.bidirectional or self.proj_size or self.training) and self.bias
        alone = x.ndim == 3 and x.shape[0 if self.batch_first else 1] == 1 and x.numel() > 0
        return plain and alone and x.is_cpu and x.dtype == torch.float32 and not torch.is_grad_enabled()

    def _run(self, layer: int, x: Tensor, hidden: Tensor, cell: Tensor) -> Tensor:
        """A layer: `[T, B, C]`, output and cell of the step before `[B, H]` -> `[T, B, H]`; changes cell."""
        of_input, recurrent, *biases = (
            getattr(self, f"{kind}_l{layer}") for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        bias, recurrent = torch.add(*biases), recurrent.t()
        outputs = x.new_empty(*x.shape[:2], self.hidden_size)
        new, open_cell = torch.empty_like(cell), torch.empty_like(cell)
        for part, made in zip(x.split(BLOCK), outputs.split(BLOCK), strict=True):
            gates = F.linear(part, of_input, bias)  # [T, B, 4 H]: entry, forget, new, exit
            # The weights that a step reads drive Python itself out of the cache: views are made beforehand.
            parts = zip(gates, *(gate.unbind(0) for gate in gates.chunk(4, 2)), made, strict=True)
            for gate, entry, forget, update, leave, output in parts:
                gate.addmm_(hidden, recurrent)
                torch.tanh(update, out=new)
                gate.sigmoid_()
                cell.mul_(forget).addcmul_(entry, new)
                torch.mul(leave, torch.tanh(cell, out=open_cell), out=output)
                hidden = output
        return outputs
