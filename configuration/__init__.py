"""Configurations: their content, applying them, and a process's standing towards the configuration in force."""
