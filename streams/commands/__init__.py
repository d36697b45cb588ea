"""The commands of the command line, one per file; each gives a click command named `command`."""
