"""What holds for every type of data: it imports nothing of the package but itself."""
