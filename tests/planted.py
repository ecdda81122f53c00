#!/usr/bin/env python3
"""Plants bugs in a copy of the tree, one at a time, and sees the named tests fail.

A test that has never failed proves little. `tests/planted/*.py` lists the bugs. Each breaks a law in
a way that real limiters have been broken, and names the tests that must fail because of it.

    python3 tests/planted.py               all of them
    python3 tests/planted.py sweep         those whose name contains "sweep"
    python3 tests/planted.py --check       compares the texts with the sources, builds nothing
    python3 tests/planted.py --skip-stale  leaves out the bugs that --check complains about

An entry has these fields:

    name    what the bug does
    file    the source file
    old     a text that occurs exactly once in it; a line break at its start does not count
    new     the text in its place
    tests   the tests that must fail: their names, or their paths in their binary if a name is
            not unique
    how     "expression" or "rebuild", only where a body cannot be doubled (see below)
    is_slow the test fails only after a wait, so it runs beside the others

All bugs that can be switched at run time are in one copy of the tree. The function around the edit
has its whole body twice there:

    fn f() { if crate::planted::is(17) { the edited body } else { the body } }

So the edited body is exactly what a copy with this one bug would have, and bugs in one function do
not meet. The variable `TOLLGATE_PLANTED` selects a bug; a process reads it once. Each suite is built
once, and every named test must pass there while no bug is selected.

In a function that returns `impl Trait`, the body of the closure around the edit is doubled instead.
If that has a type without a name too, "expression" doubles `old` and `new` alone: each is a whole
expression. An edit outside of all bodies is compiled alone in the same copy, and so is "rebuild".

The copy shares the tree's target directories, for the dependencies.
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# The packages beside the library, by their folders, with the roots of their crates. Their suites are named
# after the folders.
PACKAGES = {"replay": "src/main.rs", "redis": "src/lib.rs"}
SOURCES = [f"{folder}{part}/**/*.rs" for folder in ["", *(f"{name}/" for name in PACKAGES)] for part in ["src", "tests"]]
DATA = ROOT / "tests" / "planted"
COPY = ROOT / "target" / "planted"
LOOM = "models"
# A run that takes longer is a failure of the runner, not a bug that was found.
TIMEOUT = 300
JOBS = 2
SLOW_JOBS = 4

# `is` is const, as many of the functions are: a bug is not selected in a constant. The compiler's
# own function for this is unstable. RUSTC_BOOTSTRAP admits it in this one crate.
SWITCH = """
#![allow(missing_docs)]

#[inline]
pub(crate) const fn is(bug: usize) -> bool {
    const fn in_a_constant(_: usize) -> bool {
        false
    }
    fn at_run_time(bug: usize) -> bool {
        static SELECTED: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
        let read = || match std::env::var("TOLLGATE_PLANTED") {
            Ok(number) => number.parse().expect("a number"),
            Err(_) => 0,
        };
        *SELECTED.get_or_init(read) == bug
    }
    std::intrinsics::const_eval_select((bug,), in_a_constant, at_run_time)
}
"""
FEATURES = "#![feature(core_intrinsics, const_eval_select)]\n#![allow(internal_features)]\n"
# cargo keeps what a wrapper compiles apart from what the compiler itself does.
# (A shell may drop variables with a hyphen in their names, which cargo sets for tests of a program.)
WRAPPER = f"""#!{sys.executable}
import os, sys
os.environ["RUSTC_BOOTSTRAP"] = "1"
os.execvp(sys.argv[1], sys.argv[1:])
"""


class Failed(Exception):
    """Ends the run: nothing that follows would mean anything."""


@dataclass
class Bug:
    name: str
    file: str
    old: str
    new: str
    tests: list
    how: str = ""
    is_slow: bool = False
    number: int = 0
    found_in: list = field(default_factory=list)  # (suite, path of the test)

    def __post_init__(self):
        self.old = self.old.removeprefix("\n")
        self.new = self.new.removeprefix("\n")

    def is_there(self):
        path = ROOT / self.file
        return path.is_file() and path.read_text().count(self.old) == 1

    def edited(self, source):
        return source.replace(self.old, self.new)

    def changed(self, source):
        """The first and the last place in `source` that the edit changes."""
        start = source.index(self.old)
        prefix = len(os.path.commonprefix([self.old, self.new]))
        old, new = self.old[prefix:], self.new[prefix:]
        suffix = len(os.path.commonprefix([old[::-1], new[::-1]]))
        return start + prefix, start + len(self.old) - suffix


def load():
    bugs = []
    for path in sorted(DATA.glob("*.py")):
        values = {}
        exec(compile(path.read_text(), str(path), "exec"), values)
        bugs += [Bug(**entry) for entry in values["BUGS"]]
    for number, bug in enumerate(bugs, 1):
        bug.number = number
    return bugs


# What is read from the sources.

# A comment, a string or a character, all of which may contain braces. Not a lifetime.
OPAQUE = re.compile(
    r"""//[^\n]* | /\*.*?\*/ | \bb?r(\#*)".*?"\1 | b?"(?:\\.|[^"\\])*" | b?'(?:\\[^\n]*?|[^'\\\n])'""",
    re.VERBOSE | re.DOTALL,
)
FUNCTION = re.compile(r"\bfn\s+\w+")
CLOSURE = re.compile(r"\|\s*\{")


def closing(code, start):
    """The place behind the brace that closes the one at `start`."""
    depth = 0
    for match in re.compile(r"[{}]").finditer(code, start):
        depth += 1 if match[0] == "{" else -1
        if depth == 0:
            return match.end()
    raise Failed("a brace is not closed")


def bodies(code):
    """The bodies in `code` that can be doubled: first and last place, from the outside in."""
    for match in FUNCTION.finditer(code):
        depth = 0
        for mark in re.compile(r"[()\[\]{;]").finditer(code, match.end()):
            if mark[0] in "([":
                depth += 1
            elif mark[0] in ")]":
                depth -= 1
            elif depth == 0:
                break
        else:
            continue
        if mark[0] == ";":
            continue
        start, end = mark.start(), closing(code, mark.start())
        # Two bodies would have two types. A closure in it has only one, if it has a block.
        if re.search(r"->\s*impl\b", code[match.end() : start]):
            for closure in CLOSURE.finditer(code, start, end):
                yield closure.end() - 1, closing(code, closure.end() - 1)
        else:
            yield start, end


def blank(match):
    return re.sub(r"[^\n]", " ", match[0])


def plan(source, bugs):
    """Which bodies are written several times, and with which bugs; and the bugs that have none."""
    code = OPAQUE.sub(blank, source)
    blocks = list(bodies(code))
    switched, rebuilt = {}, []
    for bug in bugs:
        start, end = bug.changed(source)
        around = [block for block in blocks if block[0] < start and end < block[1]]
        if bug.how == "expression":
            start = source.index(bug.old)
            switched.setdefault((start, start + len(bug.old)), []).append(bug)
        elif around and bug.how != "rebuild":
            switched.setdefault(max(around), []).append(bug)
        else:
            rebuilt.append(bug)
    return switched, rebuilt


def switch(source, switched, start=0, end=None):
    """The text between two places, with every body and expression in it that has bugs."""
    end = len(source) if end is None else end
    text, at = "", start
    for first, last in sorted(switched):
        if first < at or end < last:
            continue
        text += source[at:first] + ("({" if source[first] != "{" else "{")
        for bug in switched[first, last]:
            edited = bug.edited(source)
            body = edited[first : last + len(edited) - len(source)]
            text += f"\n/* bug {bug.number} */ if crate::planted::is({bug.number}) {{{body}}} else"
        body = source[first] + switch(source, switched, first + 1, last)
        text += f"\n/* bug 0 */ {{{body}}}" + ("})" if source[first] != "{" else "}")
        at = last
    return text + source[at:end]


def declared_tests():
    """The files that each name of a test is in."""
    declared = {}
    for path in [file for pattern in SOURCES for file in ROOT.glob(pattern)]:
        for name in re.findall(r"test[^\n\]]*\]\s*(?:async )?fn (\w+)", path.read_text()):
            declared.setdefault(name, []).append(str(path.relative_to(ROOT)))
    return declared


def targets(bugs):
    """The targets that have the tests of these bugs: all, if that cannot be told by their files."""
    declared = declared_tests()
    files = {file for bug in bugs for test in bug.tests for file in declared[test.split("::")[-1]]}
    suites = {file.split("/")[1].removesuffix(".rs") for file in files if file.startswith("tests/")}
    for suite in suites:
        folder = ROOT / "tests" / suite
        if not folder.with_suffix(".rs").is_file() and not (folder / "main.rs").is_file():
            return ["--lib", "--tests"]
    return ["--lib"] + [word for suite in sorted(suites) for word in ("--test", suite)]


def check(bugs):
    """What does not match the sources: a message for each bug that is stale."""
    declared = declared_tests()
    names = [bug.name for bug in bugs]
    stale = {}
    for bug in bugs:
        complaints = []
        if names.count(bug.name) > 1:
            complaints.append("another bug has this name")
        if bug.how not in ("", "expression", "rebuild"):
            complaints.append(f'how is "{bug.how}"')
        if not bug.is_there():
            complaints.append(f"its text is not in {bug.file} exactly once")
        for test in bug.tests:
            places = declared.get(test.split("::")[-1], [])
            if not places:
                complaints.append(f"there is no test {test}")
            elif len(places) > 1 and "::" not in test:
                complaints.append(f"{test} is in {' and '.join(places)}")
        if complaints:
            stale[bug.name] = f"{bug.name}: {'; '.join(complaints)}"
    return stale


# The copy and what is built of it.


def copy_tree():
    """Copies what differs, so that cargo compiles only that anew."""
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout
    names = {name for name in names.split("\0") if name and (ROOT / name).is_file()}
    for path in [path for path in COPY.glob("**/*") if path.is_file()]:
        if str(path.relative_to(COPY)) not in names:
            path.unlink()
    for name in names:
        write(COPY / name, (ROOT / name).read_bytes())
        shutil.copymode(ROOT / name, COPY / name)


def write(path, content):
    if isinstance(content, str):
        content = content.encode()
    if not path.is_file() or path.read_bytes() != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def write_switches(bugs):
    """Writes the bugs into the copy, and returns those that have to be compiled alone."""
    rebuilt = []
    copy_tree()
    for file in sorted({bug.file for bug in bugs}):
        source = (ROOT / file).read_text()
        switched, others = plan(source, [bug for bug in bugs if bug.file == file])
        write(COPY / file, switch(source, switched))
        rebuilt += others
    for root in [COPY / "src" / "lib.rs", *(COPY / name / root for name, root in PACKAGES.items())]:
        write(root, FEATURES + root.read_text() + "\nmod planted;\n")
        write(root.with_name("planted.rs"), SWITCH)
    return rebuilt


def cargo(kind, targets, record=None):
    """Builds tests in the copy. Returns the binary of each suite, or the numbers of bugs to blame."""
    wrapper = ROOT / "target" / "planted-rustc"
    write(wrapper, WRAPPER)
    wrapper.chmod(0o755)
    package = f"tollgate-{kind}" if kind in PACKAGES else "tollgate"
    command = ["cargo", "test", "--no-run", "--message-format=json", "--package", package]
    environment = dict(
        os.environ,
        RUSTC_WORKSPACE_WRAPPER=str(wrapper),
        CARGO_PROFILE_DEV_DEBUG="0",
        CARGO_TARGET_DIR=str(ROOT / "target"),
    )
    if kind == LOOM:
        command += ["--release", "--lib"]
        environment["RUSTFLAGS"] = "--cfg tollgate_loom"
        environment["CARGO_TARGET_DIR"] += "/loom"
    else:
        command += ["--all-features", *([] if kind in PACKAGES else targets)]
    done = subprocess.run(command, cwd=COPY, env=environment, capture_output=True, text=True)
    binaries, blamed, texts = {}, set(), []
    for line in done.stdout.splitlines():
        message = json.loads(line)
        is_test = message.get("profile", {}).get("test")
        if message["reason"] == "compiler-artifact" and message["executable"] and is_test:
            name = message["target"]["name"]
            is_library = "lib" in message["target"]["kind"]
            suite = LOOM if kind == LOOM else "lib" if is_library else name
            suite = f"{kind}: {name}" if kind in PACKAGES else suite
            binaries[suite] = message["executable"]
        elif message["reason"] == "compiler-message" and message["message"]["level"] == "error":
            texts.append(message["message"]["rendered"])
            for span in message["message"]["spans"]:
                blamed.add(bug_at(COPY / span["file_name"], span["line_start"]))
    if done.returncode == 0:
        return binaries, set(), ""
    return {}, blamed - {0}, "\n".join(texts) or done.stderr


def bug_at(path, line):
    """The bug whose body has that line; 0 if it is none's."""
    if not path.is_file():
        return 0
    before = "\n".join(path.read_text().splitlines()[:line])
    numbers = re.findall(r"/\* bug (\d+) \*/", before)
    return int(numbers[-1]) if numbers else 0


def tests_of(binary):
    output = subprocess.run([binary, "--list"], cwd=COPY, capture_output=True, text=True, check=True)
    return [line[: -len(": test")] for line in output.stdout.splitlines() if line.endswith(": test")]


def build(bugs, failures):
    """Builds every suite once. A bug that does not compile is reported, and left out.

    Returns the binaries, the bugs that are in them, and those that are compiled alone."""
    while True:
        rebuilt = write_switches(bugs)
        with ThreadPoolExecutor() as pool:
            kinds = [("ordinary", targets(bugs)), (LOOM, [])]
            for name in PACKAGES:
                if any(bug.file.startswith(f"{name}/") for bug in bugs):
                    kinds.append((name, []))
            results = list(pool.map(lambda kind: cargo(*kind), kinds))
        texts = [text for _, _, text in results if text]
        if not texts:
            binaries = {suite: path for built, _, _ in results for suite, path in built.items()}
            return binaries, [bug for bug in bugs if bug not in rebuilt], rebuilt
        blamed = set().union(*(numbers for _, numbers, _ in results))
        if not blamed & {bug.number for bug in bugs}:
            raise Failed("the copy does not compile:\n" + "\n".join(texts))
        for bug in [bug for bug in bugs if bug.number in blamed]:
            failures.append(f"{bug.name}: it does not compile as a switch:\n" + "\n".join(texts))
            bugs = [other for other in bugs if other is not bug]


def look_up(bugs, binaries):
    """Finds the suite of each test by its name. Returns a message for each that is not found."""
    known = {}
    for suite, binary in binaries.items():
        for path in tests_of(binary):
            # Under loom the library has other tests too. Only the models are run there.
            if (suite == LOOM) == ("models::" in path):
                parts = path.split("::")
                for start in range(len(parts)):
                    known.setdefault("::".join(parts[start:]), []).append((suite, path))
    complaints = []
    for bug in bugs:
        for test in bug.tests:
            places = known.get(test, [])
            if len(places) == 1:
                bug.found_in.append(places[0])
            elif not places:
                complaints.append(f"{bug.name}: no binary has the test {test}")
            else:
                where = " and ".join("::".join(place) for place in places)
                complaints.append(f"{bug.name}: {test} is in {where}")
    return complaints


# Running.


def run(binary, test, bug):
    """Runs one test. Returns "passed", "failed" or what else happened, and all that it printed."""
    environment = dict(os.environ, RUST_BACKTRACE="0", CARGO_MANIFEST_DIR=str(COPY))
    environment.pop("TOLLGATE_PLANTED", None)
    if bug:
        environment["TOLLGATE_PLANTED"] = str(bug)
    # Cases enough for the rarest of these bugs, so that none is missed by chance; and no shrinking,
    # as nothing reads the counterexample.
    environment["PROPTEST_CASES"] = "1000"
    environment["PROPTEST_MAX_SHRINK_ITERS"] = "0"
    process = subprocess.Popen(
        [binary, "--exact", test], cwd=COPY, env=environment, text=True, errors="replace",
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        return f"took more than {TIMEOUT} s", output
    if process.returncode == 0 and "1 passed" in output:
        return "passed", output
    if process.returncode == -signal.SIGABRT or (process.returncode and "1 failed" in output):
        return "failed", output
    return f"ended with {process.returncode}", output


class Report:
    def __init__(self):
        self.lock = threading.Lock()
        self.failures = []
        self.found = 0
        self.times = []

    def run(self, bug, suite, binary, test, number):
        start = time.monotonic()
        result, output = run(binary, test, number)
        took = time.monotonic() - start
        with self.lock:
            self.times.append((took, bug.name if bug else "no bug", suite, test))
            if bug is None:
                if result != "passed":
                    self.failures.append(f"{suite}: {test} {result} without a bug:\n{output}")
                return
            self.found += result == "failed"
            mark = "found " if result == "failed" else "MISSED"
            print(f"{mark}  {bug.name}\n          by {suite}: {test}, {took:.1f} s", flush=True)
            if result != "failed":
                self.failures.append(f"{bug.name}: {test} {result}:\n{output[-2000:]}")


def run_all(bugs, rebuilt, binaries, report):
    tests = {place for bug in bugs + rebuilt for place in bug.found_in}
    runs = [(None, suite, test) for suite, test in tests]
    runs += [(bug, suite, test) for bug in bugs for suite, test in bug.found_in]
    # The models first: one of them takes as long as all others.
    runs.sort(key=lambda run: run[1] != LOOM)
    with ThreadPoolExecutor(JOBS) as pool, ThreadPoolExecutor(SLOW_JOBS) as slow_pool:
        tasks = []
        for bug, suite, test in runs:
            run_in = slow_pool if bug and bug.is_slow else pool
            number = bug.number if bug else 0
            tasks.append(run_in.submit(report.run, bug, suite, binaries[suite], test, number))
    for task in tasks:
        task.result()
    for bug in rebuilt:
        rebuild(bug, report)


def rebuild(bug, report):
    """Compiles a bug alone, into the copy that has all others switched off."""
    path = COPY / bug.file
    switched = path.read_text()
    write(path, bug.edited((ROOT / bug.file).read_text()))
    try:
        for suite, test in bug.found_in:
            targets = ["--lib"] if suite == "lib" else ["--test", suite]
            kind = next((kind for kind in (LOOM, *PACKAGES) if suite.startswith(kind)), "ordinary")
            binaries, _, text = cargo(kind, targets)
            if text:
                report.failures.append(f"{bug.name}: it does not compile:\n{text}")
                return
            report.run(bug, suite, binaries[suite], test, 0)
    finally:
        write(path, switched)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("words", nargs="*", help="run only the bugs whose name has them all")
    parser.add_argument("--check", action="store_true", help="compare the texts, build nothing")
    parser.add_argument("--skip-stale", action="store_true", help="leave out what --check finds")
    parser.add_argument("--slowest", type=int, default=0, metavar="N", help="print the N slowest runs")
    options = parser.parse_args()

    all_bugs = load()
    bugs = [bug for bug in all_bugs if all(word in bug.name for word in options.words)]
    if not bugs:
        parser.error("no bug has such a name")
    stale = {name: text for name, text in check(all_bugs).items() if name in {b.name for b in bugs}}
    for text in stale.values():
        print(text, file=sys.stderr)
    if options.check or (stale and not options.skip_stale):
        print(f"{len(bugs) - len(stale)} passed, {len(stale)} failed")
        return 1 if stale else 0
    bugs = [bug for bug in bugs if bug.name not in stale]

    report = Report()
    start = time.monotonic()
    try:
        binaries, bugs, rebuilt = build(bugs, report.failures)
        built = time.monotonic()
        complaints = look_up(bugs + rebuilt, binaries)
        if complaints:
            raise Failed("\n".join(complaints))
        run_all(bugs, rebuilt, binaries, report)
    except Failed as failure:
        report.failures.append(str(failure))
    else:
        print(f"built in {built - start:.0f} s, run in {time.monotonic() - built:.0f} s; ", end="")
        print(f"{len(bugs)} bugs switched, {len(rebuilt)} compiled alone")
    for took, bug, suite, test in sorted(report.times, reverse=True)[: options.slowest]:
        print(f"{took:6.1f} s  {suite}: {test} ({bug})")
    for failure in report.failures:
        print(f"\n{failure}", file=sys.stderr)
    print(f"{report.found} passed, {len(report.failures)} failed")
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
