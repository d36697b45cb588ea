"""Models, one task per file, and the bank that all profiles of a worker share."""
