"""The system that runs the workflows."""
