"""How fast networks run, measured in turn in one run."""
