//! Serves requests of one cell, for `instructions.py` to count what that takes.
//!
//! `serve RIVAL header|address allowed|refused CLIENTS REQUESTS`

use std::{env, error::Error};

use tollgate_peers::http::{Bare, By, Outcome, Rival, Tollgate, TowerGovernor};
use tollgate_peers::http::{prepared, request};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [rival, by, outcome, clients, requests] = &arguments[..] else {
        return Err("expected RIVAL BY OUTCOME CLIENTS REQUESTS".into());
    };
    let by = match by.as_str() {
        "header" => By::Header,
        "address" => By::Address,
        other => return Err(format!("found {other:?}, expected header or address").into()),
    };
    let outcome = match outcome.as_str() {
        "allowed" => Outcome::Allowed,
        "refused" => Outcome::Refused,
        other => return Err(format!("found {other:?}, expected allowed or refused").into()),
    };
    let run = match rival.as_str() {
        Bare::NAME => run::<Bare>,
        Tollgate::NAME => run::<Tollgate>,
        TowerGovernor::NAME => run::<TowerGovernor>,
        other => return Err(format!("found {other:?}, expected a rival").into()),
    };
    run(by, outcome, clients.parse()?, requests.parse()?);
    Ok(())
}

fn run<R: Rival>(by: By, outcome: Outcome, clients: u32, requests: usize) {
    let mut serve = prepared::<R>(by, outcome, clients);
    for client in (0..clients).cycle().take(requests) {
        serve(request(client));
    }
}
