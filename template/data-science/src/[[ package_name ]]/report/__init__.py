"""What people and other programs read of an evaluation: the page, its charts, the JSON documents."""
