//! Case 14 and the house: what a file may name.
//!
//! No behaviour can prove that the wall clock is never asked. The sources can.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The files from the ground up. Each may `use crate::` what stands before it, and nothing else.
const FLOORS: &[&str] = &[
    "arith",
    "sync",
    "maintenance",
    "hash",
    "pad",
    "error",
    "quota",
    "clock",
    "decision",
    "policy",
    "limit",
    "serde",
    "store",
    "denied",
    "rule",
    "tiers",
    "limiter",
    "tiered",
    "tower",
    "lib",
];

/// The same within the HTTP face: what each of its files may `use crate::tower::`.
const TOWER_FLOORS: &[&str] = &[
    "head",
    "error",
    "body",
    "drain",
    "names",
    "headers",
    "key",
    "rejection",
    "response",
    "trace",
    "config",
    "decide",
    "service",
    "layer",
];

/// What one file alone may name, or two: a foreign crate, or what the model checker replaces.
const HOMES: &[(&str, &[&str])] = &[
    ("dashmap", &["store/map.rs", "store/lock.rs"]),
    ("hashbrown", &[]),
    ("foldhash", &["hash.rs"]),
    ("parking_lot", &[]),
    ("quanta", &["clock/system.rs"]),
    ("thread_local::ThreadLocal", &["sync.rs"]),
    // Real time, by which the maintenance thread sleeps.
    ("Instant", &["sync.rs"]),
    ("loom", &["sync.rs", "store/model.rs"]),
    // The crate, in the file of that name; and to write JSON.
    ("serde", &["serde.rs", "tower/response.rs"]),
    ("serde_json", &["tower/response.rs"]),
    ("http", &["tower/"]),
    ("http_body", &["tower/body.rs"]),
    // The crate `bytes`, by what it has: the word is a name of variables too.
    ("bytes::Buf", &["tower/body.rs"]),
    ("bytes::Bytes", &[]),
    ("bytes::BytesMut", &[]),
    ("ipnet", &["tower/key/address.rs"]),
    (
        "pin_project_lite",
        &["tower/drain/reading.rs", "tower/service.rs"],
    ),
    ("sfv", &["tower/names.rs", "tower/headers.rs"]),
    ("tower_layer", &["tower/layer.rs"]),
    ("tower_service", &["tower/service.rs"]),
    ("tracing", &["tower/trace.rs"]),
    ("std::sync", &["sync.rs", "hash.rs"]),
    ("std::sync::atomic", &["sync.rs"]),
    ("std::thread", &["sync.rs"]),
    // Through `sync.rs`: what is made once and read without a lock.
    (
        "OnceLock",
        &["hash.rs", "sync.rs", "tiers/live.rs", "tiers/quotas.rs"],
    ),
    // What a limiter has no use for.
    ("f32", &[]),
    ("f64", &[]),
    // A prefetch, without which a check waits for memory three times and not once; the scan of a part
    // of a shard, without which a check waits until all of it has been swept; and the time stamp counter
    // without a call.
    (
        "unsafe",
        &["store/prefetch.rs", "store/map.rs", "clock/system.rs"],
    ),
    (
        "unsafe_code",
        &["store/prefetch.rs", "store/map.rs", "clock/system.rs"],
    ),
    ("static mut", &[]),
    ("println", &[]),
    ("eprintln", &[]),
    ("std::env", &[]),
    ("std::fs", &[]),
    // Addresses, and never a socket.
    (
        "std::net",
        &[
            "tower/key/address.rs",
            "tower/key/forwarded.rs",
            "tower/key/host.rs",
        ],
    ),
    ("TcpStream", &[]),
    ("TcpListener", &[]),
    ("UdpSocket", &[]),
    ("tokio", &[]),
    // Whether this is the process that started the maintenance thread.
    ("std::process", &["sync.rs"]),
];

/// The files of the package `redis` from the ground up, as [`FLOORS`].
const REDIS_FLOORS: &[&str] = &[
    "error", "terms", "script", "key", "outage", "breaker", "denied", "share", "report", "health",
    "client", "limiter", "builder", "lib",
];

/// What one file alone of the package `redis` may name.
const REDIS_HOMES: &[(&str, &[&str])] = &[
    // The script names Lua's table of this name.
    ("redis", &["client.rs", "script.rs"]),
    ("percent_encoding", &["key.rs"]),
    ("sha2", &["key.rs"]),
    ("tracing", &["report.rs"]),
    ("SystemTime", &[]),
    ("f32", &[]),
    ("f64", &[]),
    ("unsafe", &[]),
    ("std::net", &["key.rs"]),
    ("std::thread", &[]),
    ("println", &[]),
];

/// The code of a source file: without comments, and without the tests at its end.
struct Source {
    /// From `src`, with `/`.
    name: String,
    code: String,
}

fn sources() -> Vec<Source> {
    sources_in("src")
}

fn sources_in(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files = Vec::new();
    collect(&root, &mut files);
    let sources: Vec<Source> = files
        .iter()
        .map(|path| {
            let parts: Vec<_> = path.strip_prefix(&root).unwrap().iter().collect();
            let parts = parts.iter().map(|part| part.to_str().unwrap());
            Source {
                name: parts.collect::<Vec<_>>().join("/"),
                code: code_of(&fs::read_to_string(path).unwrap()),
            }
        })
        .filter(|source| !is_test(&source.name))
        .collect();
    assert!(sources.len() > 10, "these are not all sources");
    sources
}

/// Whether a file holds nothing but tests.
fn is_test(name: &str) -> bool {
    name == "tests.rs" || name.starts_with("tests/") || name.ends_with("/tests.rs")
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn code_of(text: &str) -> String {
    let code = text.split("\nmod tests {").next().unwrap();
    let code = code.split("\nmod models {").next().unwrap();
    let without_comment = |line: &str| line.split("//").next().unwrap().to_owned();
    let lines: Vec<String> = code.lines().map(without_comment).collect();
    lines.join("\n")
}

/// Where `name` stands in `code` as a path or word of its own.
fn names(code: &str, name: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(name).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + name.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

/// Every `std::{a, b::{c}}` written out as `std::a`, `std::b`, `std::b::c`, as far as is needed.
fn spelt_out(code: &str) -> String {
    let mut out = String::new();
    for (at, _) in code.match_indices("use ") {
        // Not the end of a longer word.
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let Some(end) = code[at..].find(';') else {
            continue;
        };
        let tree = &code[at + "use ".len()..at + end];
        if !tree.contains('{') {
            continue;
        }
        let mut prefixes: Vec<String> = vec![String::new()];
        let mut path = String::new();
        for c in tree.chars().filter(|c| !c.is_whitespace()) {
            match c {
                '{' => prefixes.push(format!("{}{path}", prefixes.last().unwrap())),
                ',' | '}' => {
                    out.push_str(&format!("\n{}{path}", prefixes.last().unwrap()));
                    if c == '}' {
                        prefixes.pop();
                        assert!(!prefixes.is_empty(), "no declaration: {tree}");
                    }
                }
                _ => {
                    path.push(c);
                    continue;
                }
            }
            path.clear();
        }
    }
    format!("{code}{out}")
}

/// Case 14. limitador, throttlecrab and lazy-limit decide by the wall clock.
#[test]
fn no_file_names_the_wall_clock() {
    for Source { name, code } in sources() {
        for clock in ["SystemTime", "UNIX_EPOCH", "chrono", "jiff"] {
            assert!(!names(&code, clock), "{name} names {clock}");
        }
    }
}

/// A shared lock of a shard would let threads that read keep all others out.
#[test]
fn a_shard_is_locked_in_one_file() {
    for Source { name, code } in sources() {
        let is_at_home = name == "store/lock.rs" || !name.starts_with("store");
        for lock in [
            ".read()",
            ".write()",
            ".try_read()",
            ".try_write()",
            "RwLock",
        ] {
            assert!(is_at_home || !code.contains(lock), "{name} has {lock}");
        }
        // Those of dashmap's own methods that lock would do it in its way.
        for method in [
            "self.map.get",
            "self.map.entry",
            "self.map.retain",
            "self.map.remove",
        ] {
            assert!(
                name != "store/map.rs" || !code.contains(method),
                "{name} has {method}"
            );
        }
    }
}

/// What a key's state is made of is known in one place.
#[test]
fn only_the_arithmetic_knows_how_a_state_is_stored() {
    for Source { name, code } in sources() {
        let is_at_home = name.starts_with("arith/");
        for form in ["[u64; N]", "[0; N]"] {
            assert!(is_at_home || !code.contains(form), "{name} has {form}");
        }
    }
}

/// What the core is does not depend on the HTTP layer.
#[test]
fn no_file_of_the_core_asks_for_the_feature_of_the_http_layer() {
    for Source { name, code } in sources() {
        let is_of_the_core = !name.starts_with("tower") && name != "lib.rs";
        assert!(
            !(is_of_the_core && code.contains("feature = \"tower\"")),
            "{name} depends on the feature tower"
        );
    }
}

/// A home is a file, or a directory with all that is in it.
fn is_home(home: &str, file: &str) -> bool {
    file == home || (home.ends_with('/') && file.starts_with(home))
}

#[test]
fn what_has_a_home_is_named_in_no_other_file() {
    assert_homes(&sources(), HOMES);
}

/// The client of the store can be replaced in one file.
#[test]
fn the_package_redis_names_its_client_in_one_file() {
    assert_homes(&sources_in("redis/src"), REDIS_HOMES);
}

fn assert_homes(sources: &[Source], homes: &[(&str, &[&str])]) {
    for (what, homes) in homes {
        for Source { name, code } in sources {
            let named = names(&spelt_out(code), what);
            // The modules and features of these names are no crates.
            let is_module =
                ["serde", "tracing"].contains(what) && !code.contains(&format!("{what}::"));
            let named = named && !is_module;
            let at_home = homes.iter().any(|home| is_home(home, name));
            assert!(at_home || !named, "{name} names {what}");
        }
        for home in *homes {
            let mut residents = sources.iter().filter(|source| is_home(home, &source.name));
            // Or the list says something that is no longer so.
            assert!(
                residents.any(|source| names(&spelt_out(&source.code), what)),
                "{home} has no {what}"
            );
        }
    }
}

#[test]
fn a_file_uses_only_floors_below_it() {
    assert_floors(&sources(), FLOORS);
}

#[test]
fn a_file_of_the_package_redis_uses_only_floors_below_it() {
    assert_floors(&sources_in("redis/src"), REDIS_FLOORS);
}

fn assert_floors(sources: &[Source], floors: &[&str]) {
    for Source { name, code } in sources {
        let module = name.split(['/', '.']).next().unwrap();
        let Some(floor) = floors.iter().position(|floor| *floor == module) else {
            panic!("{name} has no floor: say in FLOORS where it stands");
        };
        let code = spelt_out(code);
        assert!(!names(&code, "crate::*"));
        for (at, path) in code.match_indices("crate::") {
            // Not `$crate`, and not a longer word.
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$') {
                continue;
            }
            let rest = &code[at + path.len()..];
            let used = name_at(rest);
            if used.is_empty() {
                // A group, which is spelt out too.
                continue;
            }
            let is_below = if used == "tower" && module == "tower" {
                let used = name_at(&rest[used.len() + "::".len()..]);
                let own = name.split(['/', '.']).nth(1).unwrap();
                tower_floor(used) < tower_floor(own)
            } else {
                floors[..floor].contains(&used)
            };
            assert!(is_below, "{name} uses crate::{used}, which is not below it");
        }
    }
}

/// The name that `code` begins with.
fn name_at(code: &str) -> &str {
    let end = code.find(|c: char| !(c.is_alphanumeric() || c == '_'));
    &code[..end.unwrap_or(code.len())]
}

fn tower_floor(module: &str) -> usize {
    let floor = TOWER_FLOORS.iter().position(|floor| *floor == module);
    floor.unwrap_or_else(|| panic!("tower/{module} has no floor: say in TOWER_FLOORS"))
}

/// Or the tests above see nothing.
#[test]
fn the_search_finds_what_it_looks_for() {
    assert!(names("let now = SystemTime::now();", "SystemTime"));
    assert!(!names("let now = MySystemTime::now();", "SystemTime"));
    assert!(!names("#[cfg(tollgate_loom)]", "loom") && names("loom::sync", "loom"));
    assert_eq!(code_of("a // SystemTime\n/// b\nc"), "a \n\nc");
    let code = "use std::{hash, sync::{atomic::AtomicU64, OnceLock}, thread};";
    let code = spelt_out(code);
    for path in [
        "std::sync",
        "std::sync::atomic",
        "std::thread",
        "std::sync::OnceLock",
    ] {
        assert!(names(&code, path), "{path} in {code}");
    }
    assert!(!names(&code, "std::time"));
    let files: Vec<String> = sources().into_iter().map(|source| source.name).collect();
    for file in ["lib.rs", "clock.rs", "limiter/builder.rs", "store/map.rs"] {
        assert!(files.iter().any(|name| name == file), "{file} in {files:?}");
    }
}
