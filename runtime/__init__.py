"""What every process needs at start: settings, logs and metrics."""
