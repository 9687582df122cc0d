"""Music2Latent2 and CoDiCodec: consistency autoencoders with summary embeddings."""

from .config import Music2Latent2Config
from .model import Music2Latent2

__all__ = ["Music2Latent2", "Music2Latent2Config"]
