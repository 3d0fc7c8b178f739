"""`make bench`: rates on this machine, both sides of each ratio measured in one run. Nothing here is a test."""
