"""`make bench`: rates on this machine; both sides of each ratio are measured in one run. These aren't tests."""
