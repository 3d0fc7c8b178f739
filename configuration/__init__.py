"""Configurations: what the content means, how one is applied, and how a process stands to the one in force."""
