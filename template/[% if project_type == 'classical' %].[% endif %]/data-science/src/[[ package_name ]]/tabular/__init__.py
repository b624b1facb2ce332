"""What is special about tables: the model and its explanation."""
