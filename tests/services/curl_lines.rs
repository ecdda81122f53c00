//! The lines of curl in `examples/README.md`.

use http::StatusCode;
use tollgate::Quota;

use crate::common::served::{Curl, answer, client, example};
use crate::common::sockets::over_sockets;
use crate::handoff::HandoffApi;
use crate::tiers_contract::TiersApi;
use crate::turns::TurnsApi;
use crate::{handoff_api, tiers, turns_api};

#[test]
fn each_curl_line_of_the_readme_succeeds() {
    over_sockets(async {
        let handoff = HandoffApi::limited_to(Quota::default()).await;
        let turns = TurnsApi::by_default().await;
        let tiers_api = TiersApi::by_default("curl").await;
        let mut answered = 0;
        for line in example("README.md")
            .lines()
            .filter(|line| line.starts_with("curl "))
        {
            let curl = Curl::parse(line);
            let url = [
                (handoff_api::PORT.default, &handoff.served.url),
                (turns_api::PORT.default, &turns.served.url),
                (tiers::PORT.default, &tiers_api.served.url),
            ]
            .into_iter()
            .find_map(|(port, url)| {
                let path = curl
                    .url
                    .strip_prefix(&format!("http://127.0.0.1:{port}/"))?;
                Some(format!("{url}/{path}"))
            })
            .unwrap_or_else(|| panic!("no service has this port: {line}"));
            let answer = answer(curl.request(&client(), &url)).await;
            assert_eq!(answer.status, StatusCode::OK, "{line}");
            answered += 1;
        }
        assert_eq!(answered, 12);
        assert_eq!((handoff.limiter.len(), turns.limiter.len()), (1, 1));
    });
}
