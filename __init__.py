"""soundloom: text to sound (AudioGen) and sound to very few numbers (SEANet, EnCodec, Music2Latent2)."""

__version__ = "0.1.0"
