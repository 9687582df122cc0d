"""Text -> tokens: AudioGen."""
