"""Builds a program of `benches/peers`, and counts the instructions of one of its functions."""

import os
import re
import subprocess
import sys


def build(manifest, example):
    """The program, with names for what is counted."""
    command = ["cargo", "build", "--release", "--example", example, "--message-format", "json"]
    command += ["--manifest-path", str(manifest)]
    env = {**os.environ, "CARGO_PROFILE_RELEASE_DEBUG": "1"}
    built = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True)
    if built.returncode:
        sys.exit(f"the example {example} does not build")
    return re.findall(r'"executable":"([^"]*)"', built.stdout)[-1]


def collected(program, arguments, function):
    """The instructions of all calls, or a `ValueError` that says what the program died of."""
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    command += [f"--toggle-collect={function}", program, *arguments]
    env = {**os.environ, "RUST_BACKTRACE": "0"}
    ran = subprocess.run(command, env=env, capture_output=True, text=True)
    if ran.returncode:
        own = [line for line in ran.stderr.splitlines() if line and not line.startswith("==")]
        raise ValueError(" ".join(own[:2]) or f"exit status {ran.returncode}")
    return int(re.search(r"Collected : (\d+)", ran.stderr).group(1))
