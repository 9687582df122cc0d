"""The ground floor: audio, files, model folders, the hub. Nothing here knows a model."""
