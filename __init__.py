"""mull."""
