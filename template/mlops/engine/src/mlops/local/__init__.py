"""The project on this machine: the same pipeline, a registry, an endpoint."""
