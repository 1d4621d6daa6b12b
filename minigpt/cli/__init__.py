"""One file per command: it parses, calls, and hands the records to render/."""
