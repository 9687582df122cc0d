"""SEANet + RVQ: the 16 kHz codec that AudioGen speaks."""
