"""Azure ML's Responsible AI components."""
