"""Training with PyTorch, whatever a network takes: the loop, its checkpoints, and processes that share the work."""
