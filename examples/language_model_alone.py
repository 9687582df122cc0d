"""The language model without codec, text encoder or trainer: any K streams of small integers will do.

    python examples/language_model_alone.py

Trains a tiny AudioLM to write down a scale that its "text" names, then lets it, step by step, with the cache
that generation uses. Works offline; takes a few seconds on one CPU core. docs/language_model.md tells more.
"""

import torch
from torch.nn import functional as F

from soundloom.gen import AudioLM

NUM_CODEBOOKS, CODEBOOK_SIZE, FRAMES, TEXT_DIM = 3, 16, 12, 8  # K, V, T, D


def scale(start: int) -> torch.Tensor:
    """Codes int64 `[K, T]`: codebook k climbs from `start` in steps of k + 1."""
    steps = torch.arange(1, NUM_CODEBOOKS + 1)[:, None] * torch.arange(FRAMES)
    return (start + steps) % CODEBOOK_SIZE


def describe(starts: torch.Tensor) -> torch.Tensor:
    """What stands for the states of a text encoder, float32 `[B, L, D]` with L = 1: the number in bits."""
    bits = (starts[:, None] >> torch.arange(TEXT_DIM)) & 1
    return bits[:, None].float()


def train(lm: AudioLM, steps: int) -> float:
    """Lower the cross entropy of every code given those before it; returns the last loss in nats."""
    optimizer = torch.optim.AdamW(lm.parameters(), lr=3e-3)
    loss = torch.zeros(())
    for _ in range(steps):
        starts = torch.randint(CODEBOOK_SIZE, (32,))
        codes = torch.stack([scale(int(start)) for start in starts])  # [B, K, T]
        # Teacher forcing: all steps at once. `mask` is false where the delayed pattern leaves a code without
        # a prediction (the ends of late codebooks).
        output = lm(codes, describe(starts))  # logits [B, K, T, V], mask [B, K, T]
        loss = F.cross_entropy(output.logits[output.mask], codes[output.mask])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return float(loss.detach())


@torch.inference_mode()
def write(lm: AudioLM, starts: torch.Tensor) -> torch.Tensor:
    """Codes int64 `[B, K, T]`, the likeliest at every step."""
    pattern = lm.pattern
    nothing = torch.zeros(len(starts), NUM_CODEBOOKS, 0, dtype=torch.long)
    # All steps [B, K, S]: the special token where no code sits, -1 where one is yet to be found.
    sequence = pattern.build(nothing, FRAMES, special=lm.special_token)
    state = lm.start(describe(starts), None, max_steps=sequence.shape[-1])  # holds the cache
    for step in range(1, sequence.shape[-1]):
        logits = lm.step(sequence[:, :, step - 1 : step], state)  # the step before in, [B, K, V] out
        wanted = sequence[:, :, step] == -1
        sequence[:, :, step] = torch.where(wanted, logits.argmax(dim=-1), sequence[:, :, step])
    state.close()
    return pattern.revert(sequence, FRAMES)


def main() -> None:
    """Train, then write."""
    torch.manual_seed(0)
    lm = AudioLM(
        num_codebooks=NUM_CODEBOOKS,
        codebook_size=CODEBOOK_SIZE,
        dim=48,
        num_layers=2,
        num_heads=4,
        text_dim=TEXT_DIM,
        pattern="delay",
    )
    print(f"{sum(parameter.numel() for parameter in lm.parameters())} parameters, {lm.pattern}")
    loss = train(lm, steps=250)
    lm.eval()
    starts = torch.arange(CODEBOOK_SIZE)
    wanted = torch.stack([scale(int(start)) for start in starts])
    right = float((write(lm, starts) == wanted).float().mean())
    print(f"loss {loss:.3f} nats, {right:.0%} of all codes are written right")


if __name__ == "__main__":
    main()
