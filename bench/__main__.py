"""Run the benchmarks and print a table: `python -m bench [--quick] [--only cells|posts|imports] [--runs N]`."""

import argparse
import asyncio
import os
import platform

from bench import cells, imports, posts
from bench.place import Place


def main() -> None:
    """Measure, print, and end with the audit of everything that ran."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--only", choices=["cells", "posts", "imports"], help="measure only this")
    parser.add_argument("--quick", action="store_true", help="a fifth of the work: for a look, not for a quote")
    parser.add_argument("--runs", type=int, default=3, help="runs of each figure; the median is printed (3)")
    parser.add_argument("--workers", type=int, default=2, help="worker processes of an import (2)")
    parser.add_argument("--kill-every", type=float, metavar="SECONDS", help="kill a worker of an import so often")
    options = parser.parse_args()
    scale = 0.2 if options.quick else 1.0
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} CPUs, Python {platform.python_version()}, load {load:.1f}; medians of {options.runs}")
    with Place() as place:
        if options.only == "imports":
            rows = int(imports.ROWS * scale / 2) if options.quick else imports.ROWS
            asyncio.run(
                imports.measure(place, rows=rows, workers=options.workers, kill_every_seconds=options.kill_every)
            )
            return
        if options.only != "posts":
            asyncio.run(cells.measure(place, scale=scale, runs=options.runs))
        if options.only != "cells":
            asyncio.run(posts.measure(place, scale=scale, runs=options.runs))
        asyncio.run(place.audit())


if __name__ == "__main__":
    main()
