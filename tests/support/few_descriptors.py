"""A process of the service that may open few descriptors."""

import resource

from tests.support.processes import run_breakwater

DESCRIPTORS = 256


def run_with_few_descriptors(*arguments: str) -> None:
    """Run the command line with the descriptors that a shell on macOS gives."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
    run_breakwater(*arguments)
