"""How good sounds are: classifier, embedders, distances, prompt accuracy, codecs side by side."""
