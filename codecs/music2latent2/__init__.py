"""Music2Latent2 and CoDiCodec: consistency autoencoders with summary embeddings."""

from .model import Music2Latent2
from .music2latent2_config import Music2Latent2Config

__all__ = ["Music2Latent2", "Music2Latent2Config"]
