#!/usr/bin/env python3
"""Counts the instructions that a request takes, with each layer and without one.

    python3 benches/peers/instructions.py [CLIENTS]

They do not depend on what else the machine does. Counted is `serve` alone, from when a request is
there to when its response is gone, as the difference of two runs of unlike length, so that what is
done but once falls out. It needs valgrind.
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path.append(str(HERE.parent))
from callgrind import build, collected

SERVE = "*::http::serve*"
RIVALS = ["bare service", "tollgate", "tower_governor"]
REQUESTS = 2_000


def main():
    clients = sys.argv[1] if len(sys.argv) > 1 else "1000"
    program = build(HERE / "Cargo.toml", "serve")
    print(f"{'':22}" + "".join(f"{rival:>18}" for rival in RIVALS))
    for outcome in ["allowed", "refused"]:
        for by in ["header", "address"]:
            counts = []
            for rival in RIVALS:
                cell = [rival, by, outcome, clients]
                longer = collected(program, [*cell, str(2 * REQUESTS)], SERVE)
                shorter = collected(program, [*cell, str(REQUESTS)], SERVE)
                counts.append((longer - shorter) / REQUESTS)
            bare, *layers = counts
            texts = [f"{bare:.0f}"] + [f"{layer - bare:+.0f}" for layer in layers]
            print(f"{outcome + ' by ' + by:22}" + "".join(f"{text:>18}" for text in texts))


if __name__ == "__main__":
    main()
