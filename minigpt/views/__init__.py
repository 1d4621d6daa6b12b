"""Questions about a model, a subject per file: its records, and the functions that compute them."""
