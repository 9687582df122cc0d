"""The `soundloom` and `lightning` commands, a file for each.

Nothing heavy is imported until a command needs it: `soundloom --help` loads neither torch nor gradio, and
`soundloom generate` loads only the inference code.
"""

from .entry import main
from .training import lightning

__all__ = ["lightning", "main"]
