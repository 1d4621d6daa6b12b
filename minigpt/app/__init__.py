"""What the commands do, without a terminal: each function yields or returns records and events."""
