"""Commands of this package for `gr1`, see gr1_core.commands."""
