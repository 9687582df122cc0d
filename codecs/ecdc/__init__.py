"""EnCodec's own file format, `.ecdc`: read, written, and told about without a model."""
