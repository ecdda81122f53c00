//! A store of one thread: it runs the script in Lua 5.1, with what Redis gives a script.

use std::{
    cell::RefCell,
    collections::HashMap,
    future::{pending, ready},
};

use mlua::{Function, Lua, LuaString, MultiValue, Table, Value as LuaValue, Variadic};
use redis::aio::ConnectionLike;
use redis::{Arg, Cmd, Pipeline, RedisFuture, Value};

/// The state of the thread's store.
struct Store {
    lua: Lua,
    /// The script, once its text has been sent.
    script: Option<(Vec<u8>, Function)>,
    keys: HashMap<Vec<u8>, Stored>,
    /// How many keys have expired.
    expiries: u64,
    /// The `PX` of each value that the script set.
    writes: Vec<u64>,
    /// The wall clock, in µs.
    now: u64,
    /// What is replied to scripts in place of what they return, or in it silence.
    reply: Option<Option<Value>>,
}

struct Stored {
    value: Vec<u8>,
    /// In ms of the wall clock.
    expires: u64,
}

thread_local! {
    static STORE: RefCell<Store> = RefCell::new(Store::new());
}

/// A connection to the store of its thread.
#[derive(Clone, Copy)]
pub struct Connection;

/// Empties the store, and makes it lack the script.
pub fn clear() {
    STORE.with_borrow_mut(|store| {
        store.keys.clear();
        store.reply = None;
        store.writes.clear();
        store.script = None;
    });
}

/// Sets the wall clock, in µs.
pub fn set_time(now: u64) {
    STORE.with_borrow_mut(|store| store.now = now);
}

/// Returns how many keys have expired.
pub fn expiries() -> u64 {
    STORE.with_borrow(|store| store.expiries)
}

/// Makes the store lack the script.
pub fn flush_script() {
    STORE.with_borrow_mut(|store| store.script = None);
}

/// Returns the `PX` of each value that the script set since the last call.
pub fn take_writes() -> Vec<u64> {
    STORE.with_borrow_mut(|store| std::mem::take(&mut store.writes))
}

/// Sets the value of a key, which then lasts.
pub fn set_value(name: &[u8], value: Vec<u8>) {
    let expires = u64::MAX;
    STORE.with_borrow_mut(|store| store.keys.insert(name.to_vec(), Stored { value, expires }));
}

/// Returns the names of all keys.
pub fn names() -> Vec<Vec<u8>> {
    STORE.with_borrow(|store| store.keys.keys().cloned().collect())
}

/// Returns the value of a key.
pub fn value(name: &[u8]) -> Option<Vec<u8>> {
    STORE.with_borrow(|store| store.keys.get(name).map(|stored| stored.value.clone()))
}

/// Sets what every script returns from now on, or that none does (`Some(None)`).
pub fn set_reply(reply: Option<Option<Value>>) {
    STORE.with_borrow_mut(|store| store.reply = reply);
}

/// Returns an error of the server, by its line.
pub fn server_error(line: &str) -> Value {
    redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).expect("a line is an error")
}

impl Store {
    fn new() -> Store {
        let lua = Lua::new();
        let globals = lua.globals();
        let redis = lua.create_table().unwrap();
        let call = lua.create_function(call).unwrap();
        redis.set("call", call).unwrap();
        let error_reply = lua.create_function(|lua, text: LuaString| {
            let error = lua.create_table()?;
            error.set("err", text)?;
            Ok(error)
        });
        redis.set("error_reply", error_reply.unwrap()).unwrap();
        globals.set("redis", redis).unwrap();
        let layouts = lua.create_table().unwrap();
        layouts
            .set("pack", lua.create_function(pack).unwrap())
            .unwrap();
        layouts
            .set("unpack", lua.create_function(unpack).unwrap())
            .unwrap();
        globals.set("struct", layouts).unwrap();
        Store {
            lua,
            script: None,
            keys: HashMap::new(),
            expiries: 0,
            writes: Vec::new(),
            now: 0,
            reply: None,
        }
    }
}

/// `redis.call`, for the commands of the script.
fn call(lua: &Lua, words: Variadic<LuaString>) -> mlua::Result<LuaValue> {
    let words: Vec<Vec<u8>> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
    STORE.with_borrow_mut(|store| match &*words[0] {
        b"TIME" => {
            let parts = [store.now / 1_000_000, store.now % 1_000_000];
            let parts = parts.map(|part| part.to_string());
            lua.create_sequence_from(parts).map(LuaValue::Table)
        }
        b"GET" => {
            let is_over = |stored: &Stored| store.now / 1_000 > stored.expires;
            if store.keys.get(&words[1]).is_some_and(is_over) {
                store.keys.remove(&words[1]);
                store.expiries += 1;
            }
            match store.keys.get(&words[1]) {
                Some(stored) => lua.create_string(&stored.value).map(LuaValue::String),
                // Redis gives a script `false` for nil.
                None => Ok(LuaValue::Boolean(false)),
            }
        }
        b"SET" => {
            assert_eq!(
                (words.len(), &*words[3]),
                (5, &b"PX"[..]),
                "the form of SET"
            );
            let ms: u64 = String::from_utf8_lossy(&words[4])
                .parse()
                .expect("whole ms");
            assert!(ms > 0, "an expiry of 0 is an error");
            let stored = Stored {
                value: words[2].clone(),
                expires: (store.now / 1_000).saturating_add(ms),
            };
            store.keys.insert(words[1].clone(), stored);
            store.writes.push(ms);
            Ok(LuaValue::Boolean(true))
        }
        other => panic!("{other:?} is no command of the script"),
    })
}

/// `struct.pack`, for doubles.
fn pack(lua: &Lua, (layout, numbers): (String, Variadic<f64>)) -> mlua::Result<LuaString> {
    assert_eq!(layout, format!("<{}", "d".repeat(numbers.len())));
    let bytes: Vec<u8> = numbers
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect();
    lua.create_string(bytes)
}

/// `struct.unpack`, for doubles.
fn unpack(_: &Lua, (layout, bytes): (String, LuaString)) -> mlua::Result<MultiValue> {
    let bytes = bytes.as_bytes();
    assert_eq!(layout, format!("<{}", "d".repeat(bytes.len() / 8)));
    let number = |bytes: &[u8]| f64::from_le_bytes(bytes.try_into().expect("8 bytes"));
    Ok(bytes
        .chunks_exact(8)
        .map(number)
        .map(LuaValue::Number)
        .collect())
}

/// Runs the script, as Redis does: its integers are cut off, and an error is a reply.
fn run(script: &Function, words: &[Vec<u8>]) -> Value {
    let lua = STORE.with_borrow(|store| store.lua.clone());
    let globals = lua.globals();
    let sequence = |words: &[Vec<u8>]| {
        let words = words.iter().map(|word| lua.create_string(word).unwrap());
        lua.create_sequence_from(words).unwrap()
    };
    globals.set("KEYS", sequence(&words[3..4])).unwrap();
    globals.set("ARGV", sequence(&words[4..])).unwrap();
    let reply: Table = script
        .call(())
        .unwrap_or_else(|error| panic!("the script fails: {error}"));
    if let Ok(error) = reply.get::<String>("err") {
        return server_error(&error);
    }
    let integers = reply.sequence_values::<f64>();
    Value::Array(
        integers
            .map(|number| Value::Int(number.unwrap() as i64))
            .collect(),
    )
}

/// Returns the reply to a command, or `None` for silence.
fn answer(command: &Cmd) -> Option<Value> {
    let words = command.args_iter().map(|word| match word {
        Arg::Simple(word) => word.to_vec(),
        _ => panic!("no cursor is sent"),
    });
    let words: Vec<Vec<u8>> = words.collect();
    match &*words[0] {
        b"INFO" => {
            return Some(Value::BulkString(
                b"maxmemory_policy:noeviction\r\n".to_vec(),
            ));
        }
        b"DEL" => {
            let removed = STORE.with_borrow_mut(|store| store.keys.remove(&words[1]));
            return Some(Value::Int(removed.is_some().into()));
        }
        _ => {}
    }
    if let Some(reply) = STORE.with_borrow(|store| store.reply.clone()) {
        return reply;
    }
    let script = STORE.with_borrow_mut(|store| match (&*words[0], &store.script) {
        (b"EVAL", None) => {
            let script = store.lua.load(&*words[1]).into_function().unwrap();
            store.script = Some((words[1].clone(), script.clone()));
            Some(script)
        }
        (b"EVAL", Some((text, script))) => {
            assert_eq!(*text, words[1], "there is one script");
            Some(script.clone())
        }
        (b"EVALSHA", script) => script.as_ref().map(|(_, script)| script.clone()),
        (other, _) => panic!("{other:?} is no command of the client"),
    });
    Some(match script {
        Some(script) => run(&script, &words),
        None => server_error("NOSCRIPT No matching script. Please use EVAL."),
    })
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match answer(command) {
            Some(reply) => Box::pin(ready(Ok(reply))),
            None => Box::pin(pending()),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        _: &'a Pipeline,
        _: usize,
        _: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        panic!("no pipeline is sent")
    }

    fn get_db(&self) -> i64 {
        0
    }
}
