"""`make run`: the supervisor and the embedded engines. No layer but the command line imports it."""
