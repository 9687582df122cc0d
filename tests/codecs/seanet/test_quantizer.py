"""Residual vector quantization: against a plain loop, and the life of its codebooks."""

from __future__ import annotations

import pytest
import torch

from soundloom.codecs.seanet.quantizer import EuclideanCodebook, ResidualVectorQuantizer, kmeans, nearest


def test_nearest_agrees_with_brute_force():
    torch.manual_seed(0)
    vectors, table = torch.randn(50, 8), torch.randn(20, 8)
    expected = torch.stack([(table - v).pow(2).sum(1).argmin() for v in vectors])
    assert torch.equal(nearest(vectors, table), expected)


def test_encode_decode_follow_the_residual_loop():
    torch.manual_seed(0)
    quantizer = ResidualVectorQuantizer(num_codebooks=3, bins=16, dimension=5).eval()
    latent = torch.randn(2, 5, 7)
    codes = quantizer.encode(latent)
    assert codes.shape == (2, 3, 7)
    for b in range(2):
        for t in range(7):
            residual = latent[b, :, t].clone()
            for k, book in enumerate(quantizer.codebooks):
                index = (book.embed - residual).pow(2).sum(1).argmin()
                assert codes[b, k, t] == index
                residual -= book.embed[index]
            torch.testing.assert_close(quantizer.decode(codes)[b, :, t], latent[b, :, t] - residual)


def test_each_further_codebook_reduces_the_error_after_training():
    torch.manual_seed(0)
    quantizer = ResidualVectorQuantizer(num_codebooks=4, bins=32, dimension=4, threshold_dead=0.5).train()
    for _ in range(40):
        quantizer(torch.randn(16, 4, 20))
    quantizer.eval()
    latent = torch.randn(8, 4, 50)
    codes = quantizer.encode(latent)
    errors = [float((quantizer.decode(codes[:, :k]) - latent).pow(2).mean()) for k in range(1, 5)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.25 * errors[0]


def test_the_gradient_goes_straight_through():
    quantizer = ResidualVectorQuantizer(num_codebooks=2, bins=8, dimension=3).eval()
    latent = torch.randn(1, 3, 4, requires_grad=True)
    quantizer(latent).quantized.sum().backward()
    assert torch.equal(latent.grad, torch.ones_like(latent))


def test_kmeans_finds_separated_clusters():
    torch.manual_seed(0)
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    points = centres.repeat_interleave(40, 0) + 0.1 * torch.randn(120, 2)
    found, counts = kmeans(points, 12, 20)
    assert counts.sum() == 120
    distance = torch.cdist(points, found).min(dim=1).values
    assert distance.max() < 2.0


def test_dead_codes_are_replaced_by_vectors_of_the_batch():
    torch.manual_seed(0)
    book = EuclideanCodebook(bins=8, dimension=2, threshold_dead=1.0)
    book.start(torch.randn(100, 2))
    book.embed[3] = torch.tensor([1e3, 1e3])
    book.cluster_size[3] = 0.0
    vectors = torch.randn(100, 2)
    book.update(vectors, nearest(vectors, book.embed))
    assert book.embed[3].abs().max() < 10


def test_evaluation_never_moves_the_codebooks():
    quantizer = ResidualVectorQuantizer(num_codebooks=2, bins=8, dimension=3).eval()
    before = {k: v.clone() for k, v in quantizer.state_dict().items()}
    quantizer(torch.randn(2, 3, 10))
    for key, value in quantizer.state_dict().items():
        assert torch.equal(before[key], value)


@pytest.mark.parametrize("vectors", [1, 5])
def test_a_first_batch_smaller_than_the_codebook_works(vectors):
    quantizer = ResidualVectorQuantizer(num_codebooks=2, bins=16, dimension=3).train()
    output = quantizer(torch.randn(1, 3, vectors))
    assert torch.isfinite(output.quantized).all()


def test_sounds_keep_the_first_codebooks_that_they_are_given():
    torch.manual_seed(0)
    quantizer = ResidualVectorQuantizer(num_codebooks=3, bins=8, dimension=4).eval()
    latent = torch.randn(3, 4, 5)
    output = quantizer(latent, torch.tensor([1, 2, 3]))
    for row, kept in enumerate((1, 2, 3)):
        codes = quantizer.encode(latent[row : row + 1])[:, :kept]
        torch.testing.assert_close(output.quantized[row : row + 1], quantizer.decode(codes))


def test_a_codebook_learns_only_from_the_sounds_that_keep_it():
    torch.manual_seed(0)
    quantizer = ResidualVectorQuantizer(num_codebooks=2, bins=4, dimension=2, threshold_dead=0).train()
    quantizer(torch.randn(4, 2, 16))
    first, second = (codebook.embed.clone() for codebook in quantizer.codebooks)
    quantizer(torch.randn(4, 2, 16), torch.tensor([1, 1, 1, 1]))
    assert not torch.equal(quantizer.codebooks[0].embed, first)
    assert torch.equal(quantizer.codebooks[1].embed, second)
