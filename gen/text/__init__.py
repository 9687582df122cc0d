"""Text encoders: sentences to states that the language model attends to."""
