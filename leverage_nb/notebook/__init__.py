"""What the user sees: the magic, the panel, the plots."""
