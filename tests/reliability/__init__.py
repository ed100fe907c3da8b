"""Long trials of what must not break; each is a command, and CI runs a short form of it."""
