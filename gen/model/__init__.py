"""The language model over codes, and what it is made of."""
