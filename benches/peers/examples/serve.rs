//! Serves the requests of one cell. `benches/instructions.py --bench http` counts the instructions of
//! `http::serve` in it.
//!
//! `serve CONTENDER header|address allowed|rejected CLIENTS REQUESTS`

use std::{env, error::Error};

use tollgate_peers::http::{Bare, By, Contender, Outcome, Tollgate, TowerGovernor};
use tollgate_peers::http::{prepared, request};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [contender, by, outcome, clients, requests] = &arguments[..] else {
        return Err("expected CONTENDER BY OUTCOME CLIENTS REQUESTS".into());
    };
    let by = match by.as_str() {
        "header" => By::Header,
        "address" => By::Address,
        other => return Err(format!("found {other:?}, expected header or address").into()),
    };
    let outcome = match outcome.as_str() {
        "allowed" => Outcome::Allowed,
        "rejected" => Outcome::Rejected,
        other => return Err(format!("found {other:?}, expected allowed or rejected").into()),
    };
    let run = match contender.as_str() {
        Bare::NAME => run::<Bare>,
        Tollgate::NAME => run::<Tollgate>,
        TowerGovernor::NAME => run::<TowerGovernor>,
        other => return Err(format!("found {other:?}, expected a contender").into()),
    };
    run(by, outcome, clients.parse()?, requests.parse()?);
    Ok(())
}

fn run<C: Contender>(by: By, outcome: Outcome, clients: u32, requests: usize) {
    let mut serve = prepared::<C>(by, outcome, clients);
    for client in (0..clients).cycle().take(requests) {
        serve(request(client));
    }
}
