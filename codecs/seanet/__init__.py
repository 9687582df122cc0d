"""The 16 kHz codec that AudioGen speaks."""
