"""Privacy: pseudonyms."""
