"""Shows records to people as tables, pages and notebooks. It sees no tensor and no model."""
