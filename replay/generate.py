"""Writes random access logs, and compares `tollgate-replay` with `check.py` over them.

    python3 replay/generate.py --seed 1 --format auto --lines 2000 DIR
    python3 replay/generate.py --check target/release/tollgate-replay --seeds 3

The first writes logs of one format into DIR, and prints the arguments to run both programs with, as a
JSON list of lists. `check.py` takes them as they are. The program takes `--reorder 5s` for
`--reorder-seconds 5`. The files are all that are in DIR, in the order of the shell: the newest first.

The second does this for all formats and seeds, and runs both. It stops at the first difference, keeps
the directory, and prints the two commands.
"""

import argparse
import bz2
import gzip
import json
import lzma
import pathlib
import random
import shlex
import shutil
import subprocess
import sys
import tempfile

from generator import json_lines, patterns, servers

CHECK = pathlib.Path(__file__).with_name("check.py")
FORMATS = ["auto", "common", "combined", "vhost_combined", "nginx", "apache", "json"]
SECOND = 10**9
MARK = "\ufeff".encode()
NEWEST = 1_773_309_600 * SECOND
# Every policy denies a part of the traffic below.
POLICIES = [
    ["10/minute"], ["100/minute burst 10"], ["10/minute; 60/hour"], ["1/second burst 3", "20/minute"],
    ["7/13s burst 4"], ["30/hour", "3/2s burst 2", "5/minute burst 2"],
]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--format", choices=FORMATS, default="auto")
    parser.add_argument("--lines", type=int, default=1500)
    parser.add_argument("--check", type=pathlib.Path, metavar="PROGRAM")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("directory", nargs="?", type=pathlib.Path, metavar="DIR")
    arguments = parser.parse_args()
    if arguments.check is not None:
        sys.exit(check(arguments.check, range(arguments.seed, arguments.seed + arguments.seeds),
                       arguments.lines))
    if arguments.directory is None:
        parser.error("DIR is missing")
    corpus = Corpus(arguments.seed, arguments.format, arguments.lines)
    corpus.write(arguments.directory)
    print(json.dumps(corpus.arguments))


class Corpus:
    """Logs of one format, and the arguments to read them with."""

    def __init__(self, seed, form, lines):
        self.random = random.Random(f"{seed} {form}")
        # How the one file is damaged that is compressed by gzip.
        self.is_cut_off = self.random.random() < 0.15
        self.has_garbage = not self.is_cut_off and self.random.random() < 0.15
        if form == "json":
            writer = json_lines.Writer(self.random)
        elif form in ("nginx", "apache"):
            writer = patterns.Writer(self.random, form, seed)
        else:
            writer = servers.Writer(self.random, form)
        self.lines = [(arrival, writer.line(time, client))
                      for arrival, time, client in self.traffic(lines)]
        self.arguments = [writer.base + option + self.further() for option in writer.options]

    def traffic(self, count):
        """Yields when a line is written, its time, and the number of its client.

        Clients send bursts. A few lines are written long after their time.
        """
        requests, start = [], NEWEST
        while len(requests) < count:
            start += int(self.random.expovariate(1 / 12) * SECOND)
            client = min(int(self.random.expovariate(1 / 8)), 39)
            time = start
            for _ in range(self.random.choice((1, 1, 2, 3, 5, 8, 13, 30))):
                delay = self.random.choice((0.1, 1, 3)) if self.random.random() < 0.98 else 100
                arrival = time + int(self.random.random() * delay * SECOND)
                requests.append((arrival, time, client))
                time += int(self.random.expovariate(1.5) * SECOND)
        return sorted(requests[:count])

    def further(self):
        """Returns arguments that mean the same in every format."""
        chosen = self.random.choice(POLICIES)
        found = [word for policy in chosen for word in ("--policy", policy)]
        if self.random.random() < 0.4:
            percents = self.random.sample(["99.9", "99", "90", "50", "100"], self.random.choice([1, 2]))
            found += [word for percent in percents for word in ("--suggest", percent)]
        if self.random.random() < 0.4:
            found += ["--reorder-seconds", self.random.choice(["0", "1", "5", "300"])]
        return found

    def write(self, directory):
        """Writes the files of two servers. Their times overlap, and within a server a little, too."""
        directory.mkdir(parents=True, exist_ok=True)
        kinds = [as_marked, as_gzip, as_other, as_utf_16, as_crlf, as_plain]
        self.random.shuffle(kinds)
        servers_lines = [[], []]
        for line in self.lines:
            servers_lines[self.random.random() < 0.4].append(line)
        for name, lines, files in zip(("a.log", "b.log"), servers_lines, (4, 2)):
            cuts = [len(lines) * part // files for part in range(files + 1)]
            for part in range(files):
                texts = [text for _, text in lines[cuts[part] : cuts[part + 1]]]
                kind = kinds.pop()
                data, suffix = kind(self, self.concatenated(texts))
                age = files - 1 - part
                path = directory / f"{name}{f'.{age}' if age else ''}{suffix}"
                path.write_bytes(data)

    def concatenated(self, texts):
        log = b"\n".join(texts) + b"\n"
        return log if self.random.random() < 0.7 else log.removesuffix(b"\n")


def as_plain(_, log):
    return log, ""


def as_marked(_, log):
    return MARK + log.removeprefix(MARK), ""


def as_crlf(_, log):
    return log.removesuffix(b"\n").replace(b"\n", b"\r\n") + b"\r\n", ""


def as_utf_16(corpus, log):
    """With a byte order mark, or without one but then with a first character of ASCII."""
    text = log.removeprefix(MARK).decode(errors="replace")
    order = corpus.random.choice(["le", "be"])
    mark = "\ufeff" if corpus.random.random() < 0.5 or not text[:2].isprintable() or not text[:2].isascii() else ""
    return (mark + text).encode(f"utf-16-{order}"), ""


def as_gzip(corpus, log):
    half = len(log) // 2
    data = gzip.compress(log[:half], mtime=0) + gzip.compress(log[half:], mtime=0)
    if corpus.is_cut_off:
        data = data[: len(data) * 3 // 4]
    return data + (b"garbage" if corpus.has_garbage else b""), ".gz"


def as_other(corpus, log):
    kinds = ["bz2", "xz"] + (["zst"] if shutil.which("zstd") else [])
    half = len(log) // 3
    kind = corpus.random.choice(kinds)
    compress = {"bz2": bz2.compress, "xz": lzma.compress, "zst": zstd}[kind]
    return compress(log[:half]) + compress(log[half:]), f".{kind}"


def zstd(data):
    return subprocess.run(["zstd", "-cq"], input=data, capture_output=True, check=True).stdout


def check(program, seeds, lines):
    """Runs both programs over every format and seed. Returns 1 at the first difference, else 0."""
    for seed in seeds:
        for form in FORMATS:
            directory = pathlib.Path(tempfile.mkdtemp(prefix=f"tollgate-{form}-{seed}-"))
            corpus = Corpus(seed, form, lines)
            corpus.write(directory / "logs")
            files = sorted(str(path) for path in (directory / "logs").iterdir())
            for number, options in enumerate(corpus.arguments):
                report = directory / "report.json"
                ours = [str(program), *translated(options), "--json", str(report), *files]
                theirs = [sys.executable, str(CHECK), "--compare", str(report), *options, *files]
                problem, summary = run(ours, theirs, 1 if corpus.is_cut_off or corpus.has_garbage else 0)
                print(f"{form} seed {seed} arguments {number}: {summary}", flush=True)
                if problem:
                    print(problem, f"logs: {directory}", shlex.join(ours), shlex.join(theirs), sep="\n")
                    return 1
            shutil.rmtree(directory)
    return 0


def translated(options):
    """Returns the arguments for the program."""
    found = list(options)
    for place, word in enumerate(options):
        if word == "--reorder-seconds":
            found[place : place + 2] = ["--reorder", f"{options[place + 1]}s"]
    return found


def run(ours, theirs, expected_status):
    """Returns what went wrong, or None, and a line about the run."""
    program = subprocess.run(ours, capture_output=True, check=False)
    if program.returncode != expected_status:
        output = program.stderr.decode(errors="replace")
        return output, f"exit status {program.returncode}, expected {expected_status}"
    comparison = subprocess.run(theirs, capture_output=True, check=False)
    output = (comparison.stdout + comparison.stderr).decode(errors="replace").strip()
    summary = output.splitlines()[-1] if output else "no output"
    return (output if comparison.returncode != 0 else None), summary


if __name__ == "__main__":
    main()
