"""What the commands do, without a terminal: records and events come out."""
