"""The commands: run, api, worker, migrate, config, openapi. One small module per group."""
