"""What a model may call: the Tool protocol, functions as tools, sandboxed Python."""
