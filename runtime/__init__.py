"""What every process needs at start: settings, logs, and the launcher of the embedded engines."""
