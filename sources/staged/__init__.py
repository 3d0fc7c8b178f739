"""The common part of all sources below the import root: a file's rows are staged once, and then read by number."""
