"""Settings, logs and metrics, which every process needs."""
