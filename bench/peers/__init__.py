"""One file for each supervisor that is measured."""
