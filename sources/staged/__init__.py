"""What all sources below the import root share: a file's rows are staged once, and read by number from then on."""
