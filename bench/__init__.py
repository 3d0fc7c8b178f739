"""`make bench`: what this machine gives, both sides of each ratio measured in one run. Nothing here is a test."""
