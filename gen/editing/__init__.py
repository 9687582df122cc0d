"""Edit sounds: fill regions, let the end run into the beginning, vary, and change prompts on the way."""
