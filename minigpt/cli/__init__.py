"""One file per command: it parses the flags, calls the application, and passes the records to render/."""
