"""EnCodec's own file format, `.ecdc`: read, write, and describe without a model."""
