"""From a command line to files: what all experiments have in common, and no experiment knows."""
