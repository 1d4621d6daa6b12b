"""Records to something a person looks at: tables, pages, notebooks. It sees no tensor and no model."""
