#!/usr/bin/env python3
"""Counts the instructions that a request takes, with each layer and without one.

    python3 benches/peers/instructions.py [CLIENTS]

They do not depend on what else the machine does. Counted is `serve` alone, from when a request is
there to when its response is gone, as the difference of two runs of unlike length, so that what is
done but once falls out. It needs valgrind.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
RIVALS = ["bare service", "tollgate", "tower_governor"]
REQUESTS = 2_000


def build():
    """The program that serves, with names for what is counted."""
    command = ["cargo", "build", "--release", "--example", "serve", "--message-format", "json"]
    command += ["--manifest-path", str(HERE / "Cargo.toml")]
    env = {**os.environ, "CARGO_PROFILE_RELEASE_DEBUG": "1"}
    built = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True).stdout
    return re.findall(r'"executable":"([^"]*)"', built)[-1]


def count(program, cell, requests):
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    command += ["--toggle-collect=*::http::serve*", program, *cell, str(requests)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    return int(re.search(r"Collected : (\d+)", told).group(1))


def main():
    clients = sys.argv[1] if len(sys.argv) > 1 else "1000"
    program = build()
    print(f"{'':22}" + "".join(f"{rival:>18}" for rival in RIVALS))
    for outcome in ["allowed", "refused"]:
        for by in ["header", "address"]:
            counts = []
            for rival in RIVALS:
                cell = [rival, by, outcome, clients]
                longer, shorter = count(program, cell, 2 * REQUESTS), count(program, cell, REQUESTS)
                counts.append((longer - shorter) / REQUESTS)
            bare, *layers = counts
            texts = [f"{bare:.0f}"] + [f"{layer - bare:+.0f}" for layer in layers]
            print(f"{outcome + ' by ' + by:22}" + "".join(f"{text:>18}" for text in texts))


if __name__ == "__main__":
    main()
