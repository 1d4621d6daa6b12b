"""The full-screen explorer: its session, its panes and the application around them."""
