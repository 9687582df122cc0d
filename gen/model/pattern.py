"""How K streams of codes are laid out in time for a model that predicts one step at a time.

A residual codec gives K codes a frame. A pattern says at which step of the model each code sits, so that one
model can predict them in an order that respects that codebook k refines codebooks 0..k-1. Sources: MusicGen
(Copet et al. 2023, section 2.2) for the family of patterns, AudioGen for the delayed one.

Letters: B batch, K codebooks, T frames, S steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class CodePattern:
    """A pattern in which code `[k, t]` sits at step `1 + offsets[k] + stride * t`.

    Step 0 holds the special token in every codebook, and so does every place that no code claims. Build one
    with `delayed`, `parallel` or `flattened`.

    Args:
        offsets: steps that each codebook comes late, one number a codebook, none negative.
        stride: steps that one frame takes.
    """

    offsets: tuple[int, ...]
    stride: int = 1

    def __post_init__(self) -> None:
        if not self.offsets:
            raise ValueError("offsets is empty; give one offset for each codebook, for example (0, 1, 2, 3)")
        for offset in self.offsets:
            if isinstance(offset, bool) or not isinstance(offset, int) or offset < 0:
                raise ValueError(f"offsets holds {offset!r}; every offset must be an integer of at least 0")
        if self.stride < 1:
            raise ValueError(f"stride is {self.stride}; it must be at least 1")

    @classmethod
    def delayed(cls, delays: Sequence[int]) -> CodePattern:
        """Codebook k comes `delays[k]` frames late; all codebooks share a step. AudioGen: 0, 1, 2, 3."""
        return cls(tuple(delays))

    @classmethod
    def parallel(cls, num_codebooks: int) -> CodePattern:
        """All codes of a frame at one step: fastest, but the codebooks of a frame cannot see one another."""
        return cls((0,) * num_codebooks)

    @classmethod
    def flattened(cls, num_codebooks: int) -> CodePattern:
        """One code a step, codebook by codebook, frame by frame: exact, but K times as many steps."""
        return cls(tuple(range(num_codebooks)), stride=num_codebooks)

    @property
    def num_codebooks(self) -> int:
        """K."""
        return len(self.offsets)

    def step_of(self, codebook: int, frame: int) -> int:
        """The step at which code `[codebook, frame]` sits."""
        return 1 + self.offsets[codebook] + self.stride * frame

    def num_steps(self, frames: int) -> int:
        """S: steps that hold every code of T frames, the special first step included."""
        return 2 + max(self.offsets) + self.stride * (frames - 1) if frames > 0 else 1

    def teacher_steps(self, frames: int) -> int:
        """Steps that training looks at: those before which the last frame of the first codebooks is complete.

        The delayed pattern's last max(delays) steps are left out, as in AudioGen, so the trailing codes of
        late codebooks have no prediction.
        """
        return min(self.num_steps(frames), 1 + self.stride * frames)

    def first_step_after(self, frames: int) -> int:
        """The first step that is not settled by a prompt of `frames` frames."""
        return min(self.offsets) + self.stride * frames + 1

    def complete_frames(self, steps: int) -> int:
        """Frames of which every codebook sits within the first `steps` steps."""
        return max(0, (steps - 2 - max(self.offsets)) // self.stride + 1)

    def build(self, codes: Tensor, frames: int | None = None, *, special: int, unknown: int = -1) -> Tensor:
        """Lay codes out over the steps.

        Args:
            codes: int64 `[B, K, P]`, the first P frames.
            frames: T, at least P (default: P). Codes of frames P..T-1 are marked `unknown`.
            special: the token of places that hold no code.
            unknown: the token of places whose code is yet to be found.

        Returns:
            int64 `[B, K, S]`.
        """
        batch, given = codes.shape[0], codes.shape[-1]
        self._check_codebooks(codes)
        frames = given if frames is None else frames
        if frames < given:
            raise ValueError(
                f"frames is {frames}, but codes has {given} frames; frames must be at least that"
            )
        sequence = codes.new_full((batch, self.num_codebooks, self.num_steps(frames)), special)
        for k in range(self.num_codebooks):
            # The steps at which the frames of this codebook sit: [B, T], a view.
            places = sequence[:, k, self.step_of(k, 0) :: self.stride]
            places[:, :given] = codes[:, k]
            places[:, given:frames] = unknown
        return sequence

    def newest_frame(self, step: int) -> int:
        """The newest frame of which a code may sit at a step, that of the codebook that comes first."""
        return (step - 1 - min(self.offsets)) // self.stride

    def revert(self, sequence: Tensor, frames: int, *, first: int = 0) -> Tensor:
        """Read the codes of frames `first` to T - 1 out of the steps: `[B, K, S]` -> `[B, K, T - first]`."""
        self._check_codebooks(sequence)
        if sequence.shape[-1] < self.num_steps(frames):
            raise ValueError(
                f"the sequence has {sequence.shape[-1]} steps, but {frames} frames need "
                f"{self.num_steps(frames)}"
            )
        rows = [
            sequence[:, k, self.step_of(k, first) :: self.stride][:, : frames - first]
            for k in range(self.num_codebooks)
        ]
        return torch.stack(rows, dim=1)

    def mask(self, frames: int, device: torch.device | None = None) -> Tensor:
        """Where the steps of T frames hold a code: bool `[K, S]`."""
        codes = torch.zeros(1, self.num_codebooks, frames, dtype=torch.long, device=device)
        return self.build(codes, special=1)[0] == 0

    def align(self, outputs: Tensor, frames: int) -> tuple[Tensor, Tensor]:
        """Sort a teacher-forced model's outputs by the code they predict: step s predicts what sits at s + 1.

        Args:
            outputs: `[B, S, K, V]`, S at least `teacher_steps(frames)`.
            frames: T.

        Returns:
            `[B, K, T, V]`, zero where nothing is predicted, and bool `[K, T]`, true where something is.
        """
        codebook = torch.arange(self.num_codebooks, device=outputs.device)[:, None]
        offsets = torch.tensor(self.offsets, device=outputs.device)[:, None]
        steps = offsets + self.stride * torch.arange(frames, device=outputs.device)  # [K, T]
        mask = steps < self.teacher_steps(frames) - 1
        # One selection of rows: its gradient is written once, that of a slice for each codebook K times.
        rows = (steps.masked_fill(~mask, 0) * self.num_codebooks + codebook).flatten()
        aligned = outputs.flatten(1, 2).index_select(1, rows).unflatten(1, mask.shape)
        return aligned.masked_fill_(~mask.unsqueeze(-1), 0.0), mask

    def predicted(self, lengths: Tensor, frames: int) -> Tensor:
        """Which codes of clips that are padded to T frames have a prediction: bool `[B, K, T]`.

        They are those that the clip would have alone: a late codebook's last codes are predicted at steps
        where the early codebooks are past the clip's end already, and what is padded there must not teach.

        Args:
            lengths: int64 `[B]`, frames of each clip that are not padding.
            frames: T.
        """
        offsets = torch.tensor(self.offsets, device=lengths.device)[:, None]
        steps = 1 + offsets + self.stride * torch.arange(frames, device=lengths.device)
        # teacher_steps of each length; a clip of no frames has only the special first step.
        complete = 2 + max(self.offsets) + self.stride * (lengths - 1)
        known = torch.minimum(complete, 1 + self.stride * lengths)
        return (steps < known[:, None, None]) & (lengths > 0)[:, None, None]

    def _check_codebooks(self, tensor: Tensor) -> None:
        if tensor.ndim != 3 or tensor.shape[1] != self.num_codebooks:
            raise ValueError(
                f"expected codes of shape [B, {self.num_codebooks}, T], not {list(tensor.shape)}; "
                f"this pattern has {self.num_codebooks} codebooks"
            )


def build_pattern(name: str, num_codebooks: int, delays: Sequence[int] | None = None) -> CodePattern:
    """Find a pattern by name.

    Args:
        name: "delay", "parallel" or "flattened".
        num_codebooks: K.
        delays: frames each codebook is late, for "delay" only; default 0, 1, ... K-1.

    Raises:
        ValueError: an unknown name, or delays that do not fit.
    """
    if delays is not None and name != "delay":
        raise ValueError(f"delays is {list(delays)}, but only the pattern 'delay' has delays, not {name!r}")
    if name == "delay":
        delays = range(num_codebooks) if delays is None else delays
        if len(delays) != num_codebooks:
            raise ValueError(
                f"delays is {list(delays)}; it must have one entry for each of {num_codebooks} codebooks"
            )
        return CodePattern.delayed([int(delay) for delay in delays])
    if name == "parallel":
        return CodePattern.parallel(num_codebooks)
    if name == "flattened":
        return CodePattern.flattened(num_codebooks)
    raise ValueError(f"pattern is {name!r}; use 'delay', 'parallel' or 'flattened'")
