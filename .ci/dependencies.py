#!/usr/bin/env python3
"""What the library's own dependency tree may hold, on every platform and with any feature.

Every crate is named here with its reason. One that is new is an error, until it is reviewed
whether it opens sockets or starts a runtime; as a second look, the sources of each are searched for
the standard library's sockets. No crate comes in two versions, and every licence is permissive
(cargo-deny would say the last two as well, after minutes of building it).

The lock file of a user's package is checked too: it holds no tool of our tests, and no more packages
than are listed here.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

KNOWN = {
    "tollgate": "this crate",
    "dashmap": "the table",
    "crossbeam-utils": "dashmap: padding",
    "hashbrown": "dashmap: the shards' maps",
    "lock_api": "dashmap: guards",
    "once_cell": "dashmap: the default shard count",
    "parking_lot_core": "dashmap: parking",
    "scopeguard": "lock_api: unlocking",
    "thread_local": "the caches of denied keys: a value for each thread and limiter",
    "smallvec": "parking_lot_core: the threads to wake",
    "foldhash": "the default hasher",
    "quanta": "the clock",
    "portable-atomic": "quanta: 64-bit atomics everywhere",
    "raw-cpuid": "quanta on x86: is the counter invariant?",
    "bitflags": "raw-cpuid",
    "cfg-if": "dashmap, parking_lot_core",
    "libc": "quanta, parking_lot_core: clocks and futexes; declares sockets, as it declares all",
    "serde": "features serde and tower",
    "serde_core": "features serde and tower",
    "http": "feature tower: the types of requests",
    "http-body": "feature tower: reads the body of a rejected request",
    "bytes": "http, http-body: how long a part of a body is",
    "itoa": "http, serde_json",
    "ipnet": "feature tower: networks in CIDR notation",
    "pin-project-lite": "feature tower: the layer's future",
    "serde_json": "feature tower: JSON",
    "memchr": "serde_json",
    "zmij": "serde_json",
    "sfv": "feature tower: structured fields",
    "base64": "sfv: byte sequences",
    "ref-cast": "sfv; its macro:",
    "ref-cast-impl": "ref-cast, while building",
    "syn": "ref-cast, while building",
    "quote": "ref-cast, while building",
    "proc-macro2": "ref-cast, while building",
    "unicode-ident": "ref-cast, while building",
    "tower-layer": "feature tower",
    "tower-service": "feature tower",
    "tracing": "feature tracing",
    "tracing-core": "tracing",
}
# Of other platforms: their system interfaces.
SYSTEMS = {"windows-link", "windows-sys", "redox_syscall"}
TARGETS = [
    "x86_64-unknown-linux-gnu",
    "aarch64-unknown-linux-gnu",
    "aarch64-apple-darwin",
    "x86_64-pc-windows-msvc",
]
# What the lock file of a package may hold that depends on the library with default features: the
# package itself, the library, and the dependencies of every platform.
MAX_LOCKED = 41
TEST_TOOLS = {"criterion", "loom", "proptest"}
LICENCES = {"MIT", "Apache-2.0", "Zlib", "BSD-3-Clause", "Unicode-3.0", "Unlicense"}
SOCKETS = re.compile(r"\bTcp(Stream|Listener)\b|\bUdpSocket\b|\bUnix(Stream|Listener|Datagram)\b")


def tree(*options):
    """The names and versions of the crates that the library itself needs."""
    command = ["cargo", "tree", "--package", "tollgate", "--edges", "normal", "--prefix", "none", "--format", "{p}", *options]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return {tuple(line.split()[:2]) for line in lines if line}


def locked():
    """The names in the lock file of a new package that depends on the library.

    The versions are those of our own lock file, so that the result is the same on every day.
    """
    with tempfile.TemporaryDirectory() as directory:
        package = Path(directory)
        (package / "src").mkdir()
        (package / "src" / "main.rs").write_text("fn main() {}\n")
        (package / "Cargo.toml").write_text(
            '[package]\nname = "user"\nedition = "2024"\n\n'
            f"[dependencies]\ntollgate = {{ path = {json.dumps(str(ROOT))} }}\n"
        )
        lock = package / "Cargo.lock"
        shutil.copyfile(ROOT / "Cargo.lock", lock)
        # Removes what the package does not need.
        subprocess.run(["cargo", "update", "--quiet", "--workspace"], cwd=package, check=True)
        return re.findall(r'^name = "(.+)"$', lock.read_text(), re.MULTILINE)


def main():
    metadata = json.loads(
        subprocess.run(
            ["cargo", "metadata", "--format-version", "1", "--all-features"],
            capture_output=True, text=True, check=True,
        ).stdout
    )
    own = next(p for p in metadata["packages"] if p["name"] == "tollgate")
    sets = [[], ["--all-features"]] + [["--features", name] for name in sorted(own["features"])]
    here = set()
    for features in sets:
        for target in TARGETS:
            here |= tree(*features, "--target", target)

    known = KNOWN.keys() | SYSTEMS
    errors = [f"{name} {version} is not known" for name, version in here if name not in known]
    names = [name for name, _ in here]
    errors += [f"{name} comes in two versions" for name in {n for n in names if names.count(n) > 1}]
    for package in metadata["packages"]:
        if (package["name"], f"v{package['version']}") not in here:
            continue
        terms = set(re.split(r"\s+OR\s+|\s*/\s*|\(|\)|\s+AND\s+", package["license"])) - {""}
        if not terms & LICENCES:
            errors.append(f"{package['name']} is under {package['license']}")
        if package["name"] == "libc":
            continue
        for source in Path(package["manifest_path"]).parent.glob("src/**/*.rs"):
            code = re.sub(r"//.*", "", source.read_text(errors="replace"))
            if SOCKETS.search(code):
                errors.append(f"{package['name']} names sockets in {source.name}")

    user = locked()
    errors += [f"{name} is in the lock file of a user" for name in TEST_TOOLS & set(user)]
    if len(user) > MAX_LOCKED:
        errors.append(f"{len(user)} packages in the lock file of a user, at most {MAX_LOCKED}")

    for error in errors:
        print(error, file=sys.stderr)
    print(f"{len(user)} packages in the lock file of a user")
    print(f"{len(here)} crates with any feature: {', '.join(sorted(set(names)))}")
    print(f"{len(here) - len(errors)} passed, {len(errors)} failed")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
