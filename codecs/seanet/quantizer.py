"""Residual vector quantization with moving-average codebooks.

Each codebook quantizes what the ones before it left over. Codebooks are not trained by gradient: they follow
the vectors assigned to them by an exponential moving average, start from k-means over the first batch, and
codes that die are replaced by random vectors of the batch.

Sources: SoundStream (Zeghidour et al. 2021) section III.C; EnCodec (Defossez et al. 2022) section 3.2.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PART = 8192  # vectors compared at once; bounds the memory of their distances


def nearest(vectors: Tensor, codebook: Tensor) -> Tensor:
    """Index `[M]` of the row of `codebook [V, D]` closest to each of `vectors [M, D]`, the first on ties."""
    squares = codebook.pow(2).sum(1)[None]
    return torch.cat(
        [
            (part.pow(2).sum(1, keepdim=True) - 2 * part @ codebook.t() + squares).argmin(dim=1)
            for part in vectors.split(PART)
        ]
    )


def kmeans(vectors: Tensor, clusters: int, iterations: int) -> tuple[Tensor, Tensor]:
    """Lloyd's algorithm over `vectors [M, D]`: centres `[clusters, D]` and their populations `[clusters]`."""
    chosen = torch.randperm(vectors.shape[0], device=vectors.device)[:clusters]
    if chosen.numel() < clusters:
        more = torch.randint(0, vectors.shape[0], (clusters - chosen.numel(),), device=vectors.device)
        chosen = torch.cat([chosen, more])
    centres = vectors[chosen].clone()
    counts = torch.ones(clusters, device=vectors.device)
    for _ in range(iterations):
        assigned = nearest(vectors, centres)
        counts = torch.bincount(assigned, minlength=clusters).to(vectors.dtype)
        sums = torch.zeros_like(centres).index_add_(0, assigned, vectors)
        centres = torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], centres)
    return centres, counts


class EuclideanCodebook(nn.Module):
    """A table of `bins` vectors of width `dimension`; all of it buffers, none of it parameters.

    Args:
        decay: of the moving averages.
        epsilon: Laplace smoothing of the counts.
        threshold_dead: a code whose average count falls below this is replaced; 0 never replaces.
        kmeans_iterations: of the start from the first training batch.
    """

    embed: Tensor
    embed_avg: Tensor
    cluster_size: Tensor
    inited: Tensor

    def __init__(
        self,
        *,
        bins: int,
        dimension: int,
        decay: float = 0.99,
        epsilon: float = 1e-5,
        threshold_dead: float = 2.0,
        kmeans_iterations: int = 50,
    ) -> None:
        super().__init__()
        self.decay = decay
        self.epsilon = epsilon
        self.threshold_dead = threshold_dead
        self.kmeans_iterations = kmeans_iterations
        table = torch.randn(bins, dimension) / dimension**0.5
        self.register_buffer("inited", torch.zeros(1))
        self.register_buffer("cluster_size", torch.zeros(bins))
        self.register_buffer("embed", table)
        self.register_buffer("embed_avg", table.clone())

    @torch.no_grad()
    def update(self, vectors: Tensor, codes: Tensor) -> None:
        """Move the averages towards `vectors [M, D]`, assigned to `codes [M]`; replace dead codes."""
        bins = self.embed.shape[0]
        if self.threshold_dead > 0:
            dead = self.cluster_size < self.threshold_dead
            if dead.any():
                picks = torch.randint(0, vectors.shape[0], (int(dead.sum()),), device=vectors.device)
                self.embed[dead] = vectors[picks]
                self.embed_avg[dead] = vectors[picks] * self.threshold_dead
                self.cluster_size[dead] = self.threshold_dead
                codes = nearest(vectors, self.embed)
        counts = torch.bincount(codes, minlength=bins).to(vectors.dtype)
        sums = torch.zeros_like(self.embed).index_add_(0, codes, vectors)
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(counts)
            torch.distributed.all_reduce(sums)
        self.cluster_size.mul_(self.decay).add_(counts, alpha=1 - self.decay)
        self.embed_avg.mul_(self.decay).add_(sums, alpha=1 - self.decay)
        total = self.cluster_size.sum()
        smoothed = (self.cluster_size + self.epsilon) / (total + bins * self.epsilon) * total
        self.embed.copy_(self.embed_avg / smoothed[:, None])

    @torch.no_grad()
    def start(self, vectors: Tensor) -> None:
        """Fill the table by k-means over the first training batch."""
        centres, counts = kmeans(vectors, self.embed.shape[0], self.kmeans_iterations)
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.broadcast(centres, 0)
            torch.distributed.broadcast(counts, 0)
        self.embed.copy_(centres)
        self.cluster_size.copy_(counts)
        self.embed_avg.copy_(centres * counts[:, None])
        self.inited.fill_(1)


class VectorQuantization(nn.Module):
    """One stage of the residual quantizer; holds its codebook under the name that checkpoints use."""

    def __init__(self, codebook: EuclideanCodebook) -> None:
        super().__init__()
        self._codebook = codebook

    @property
    def codebook(self) -> EuclideanCodebook:
        return self._codebook


@dataclass
class QuantizerOutput:
    """Result of a training pass: `quantized [B, D, T]`, `codes [B, K, T]`, `commitment` scalar."""

    quantized: Tensor
    codes: Tensor
    commitment: Tensor


class ResidualVectorQuantizer(nn.Module):
    """K codebooks in a row over latents `[B, D, T]`.

    Args:
        num_codebooks: K.
        bins: codes per codebook.
        dimension: D.
        decay, threshold_dead, kmeans_iterations: see EuclideanCodebook.
    """

    def __init__(
        self,
        *,
        num_codebooks: int = 4,
        bins: int = 2048,
        dimension: int = 128,
        decay: float = 0.99,
        threshold_dead: float = 2.0,
        kmeans_iterations: int = 50,
    ) -> None:
        super().__init__()
        self.vq = nn.Module()
        self.vq.layers = nn.ModuleList(
            VectorQuantization(
                EuclideanCodebook(
                    bins=bins,
                    dimension=dimension,
                    decay=decay,
                    threshold_dead=threshold_dead,
                    kmeans_iterations=kmeans_iterations,
                )
            )
            for _ in range(num_codebooks)
        )

    @property
    def codebooks(self) -> list[EuclideanCodebook]:
        return [layer.codebook for layer in self.vq.layers]  # type: ignore[union-attr]

    def forward(self, latent: Tensor, num_codebooks: Tensor | None = None) -> QuantizerOutput:
        """Quantize with a straight-through gradient; in training mode also start and move the codebooks.

        Args:
            latent: `[B, D, T]`.
            num_codebooks: how many codebooks each of the B sounds keeps, integers `[B]`; None: all. The
                others neither add to its sum nor learn from it (quantizer dropout, SoundStream, III.C).
        """
        # Distances between bf16 vectors pick wrong codes: leave autocast and work in float32.
        with torch.autocast(latent.device.type, enabled=False):
            latent = latent.float()
            residual = latent
            total = torch.zeros_like(latent)
            losses, codes = [], []
            for k, codebook in enumerate(self.codebooks):
                kept = None if num_codebooks is None else num_codebooks > k
                vectors = residual.detach().permute(0, 2, 1).flatten(0, 1)  # [B * T, D]
                # The codebook's vector nearest to what the ones before left over.
                if self.training and not bool(codebook.inited):
                    codebook.start(vectors)
                index = nearest(vectors, codebook.embed)  # [B * T]
                code = F.embedding(index, codebook.embed)  # [B * T, D]
                code = code.view(residual.shape[0], -1, residual.shape[1]).permute(0, 2, 1)  # [B, D, T]
                if kept is not None:
                    code = code * kept[:, None, None]
                if self.training:
                    learnt = slice(None) if kept is None else kept.repeat_interleave(residual.shape[2])
                    if len(vectors[learnt]):
                        codebook.update(vectors[learnt], index[learnt])
                # What this one leaves over goes on to the next.
                losses.append(F.mse_loss(residual, code.detach()))
                codes.append(index.view(latent.shape[0], -1))  # [B, T]
                residual = residual - code.detach()
                total = total + code.detach()
            return QuantizerOutput(
                quantized=latent + (total - latent).detach(),
                codes=torch.stack(codes, dim=1),
                commitment=torch.stack(losses).mean(),
            )

    @torch.no_grad()
    def start(self, vectors: Tensor, *, batch_vectors: int) -> None:
        """Fill all codebooks by k-means over `vectors [M, D]`, each over what the ones before leave.

        Args:
            batch_vectors: how many vectors a training step will bring; the moving averages begin with that
                weight, so that a start from many steps' worth of vectors still follows the training.
        """
        residual = vectors.float()
        for codebook in self.codebooks:
            codebook.start(residual)
            share = batch_vectors / len(vectors)
            codebook.cluster_size.mul_(share)
            codebook.embed_avg.mul_(share)
            residual = residual - F.embedding(nearest(residual, codebook.embed), codebook.embed)

    def encode(self, latent: Tensor, num_codebooks: int | None = None) -> Tensor:
        """Latent `[B, D, T]` -> codes int64 `[B, K, T]`, those of the first `num_codebooks`; None: of all."""
        residual = latent.float().permute(0, 2, 1)  # [B, T, D]
        codes = []
        for codebook in self.codebooks[:num_codebooks]:
            # What the codebooks before left over: [B * T, D] -> [B * T] -> [B, T]
            index = nearest(residual.flatten(0, 1), codebook.embed).view(residual.shape[:2])
            codes.append(index)
            residual = residual - F.embedding(index, codebook.embed)
        return torch.stack(codes, dim=1)

    def decode(self, codes: Tensor) -> Tensor:
        """Codes `[B, k, T]`, k <= K -> latent `[B, D, T]`, the sum of the first k code vectors."""
        vectors = [
            F.embedding(codes[:, k], book.embed) for k, book in enumerate(self.codebooks[: codes.shape[1]])
        ]
        # K times [B, T, D] -> [B, T, D] -> [B, D, T]
        return torch.stack(vectors).sum(0).permute(0, 2, 1)
