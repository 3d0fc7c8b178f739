"""`make run`: the supervisor and the embedded engines. Nothing but the command line and the benches imports it."""
