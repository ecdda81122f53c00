//! The contract of `tiers` in `examples/README.md`: customers who change tiers, and a file that is
//! reloaded.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use http::{Method, StatusCode};
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tollgate::ManualClock;

use crate::common::http::{field, number};
use crate::common::served::{Answer, Served, answer, example};
use crate::common::sockets::over_sockets;
use crate::tiers;

/// What the file of the example says.
const DEFAULT: &str = r#"
    free = "10/minute"
    pro = ["100/minute burst 50", "1000/hour"]
"#;

pub const ADMIN_TOKEN: &str = "token-of-the-operator";

/// A file that the test writes. Each test has its own.
pub struct File(pub PathBuf);

impl File {
    pub fn new(test: &str, text: &str) -> File {
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{test}.toml"));
        let file = File(file);
        file.write(text);
        file
    }

    /// Replaces the file, so that no reader sees a part of it.
    pub fn write(&self, text: &str) {
        let new = self.0.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, &self.0).unwrap();
    }
}

pub struct TiersApi {
    pub served: Served,
    api: Arc<tiers::Api>,
    clock: ManualClock,
    file: File,
}

impl TiersApi {
    async fn start(test: &str, text: &str) -> TiersApi {
        let file = File::new(test, text);
        let clock = ManualClock::new();
        let policies = tiers::read_policies(&file.0).unwrap();
        let api = Arc::new(tiers::Api::new(clock.clone(), policies).unwrap());
        let token = Some(ADMIN_TOKEN.to_owned());
        let served = Served::start(tiers::router(Arc::clone(&api), token)).await;
        TiersApi {
            served,
            api,
            clock,
            file,
        }
    }

    /// Starts the service with the file of the example.
    pub async fn by_default(test: &str) -> TiersApi {
        TiersApi::start(test, &example("tiers.toml")).await
    }

    async fn send(&self, customer: &str) -> Answer {
        let request = self.served.get("/work");
        answer(request.header("x-api-key", format!("key-of-{customer}"))).await
    }

    /// Sends requests until one is rejected. Returns how many passed, and the rejection.
    async fn exhaust(&self, customer: &str) -> (u64, Answer) {
        let mut passed = 0;
        loop {
            let answer = self.send(customer).await;
            match answer.status {
                StatusCode::OK => passed += 1,
                _ => return (passed, answer),
            }
        }
    }

    fn admin(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.served.url);
        let request = self.served.client.request(method, url);
        request.header("x-admin-token", ADMIN_TOKEN)
    }

    async fn show(&self, customer: &str) -> Value {
        let path = format!("/admin/keys/{customer}");
        let answer = answer(self.admin(Method::GET, &path)).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        answer.json()
    }

    async fn ask_to_move(&self, customer: &str, tier: &str) -> Answer {
        let path = format!("/admin/customers/{customer}/tier");
        answer(self.admin(Method::PUT, &path).body(tier.to_owned())).await
    }

    /// Moves a customer to a tier. Returns what the operator is shown.
    async fn move_to(&self, customer: &str, tier: &str) -> Value {
        let answer = self.ask_to_move(customer, tier).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        answer.json()
    }

    /// Replaces the file and reloads it. Returns what changed, or the error.
    fn reload(&self, text: &str) -> Result<String, String> {
        self.file.write(text);
        let reloaded = self.api.reload(&self.file.0);
        let reloaded = reloaded.map(|reload| reload.to_string());
        reloaded.map_err(|error| error.to_string())
    }
}

#[test]
fn an_upgrade_helps_at_once_and_forgets_no_debt() {
    over_sockets(async {
        let api = TiersApi::start("upgrade", DEFAULT).await;
        let first = api.send("alice").await;
        assert_eq!(first.json(), json!({ "customer": "alice" }));
        assert_eq!(first.limit_remaining_reset(), [10, 9, 6]);
        let policy = |answer: &Answer| field(&answer.headers, "ratelimit-policy").to_owned();
        assert_eq!(policy(&first), r#""minute";q=10;w=60"#);
        let (passed, rejected) = api.exhaust("alice").await;
        assert_eq!(passed, 9);
        rejected.is_rejected_for(6);
        assert_eq!(rejected.limit_remaining_reset(), [10, 0, 60]);

        // A burst of 50, of which the 10 are spent. The hour is full, since free has none.
        let shown = api.move_to("alice", "pro").await;
        assert_eq!(shown["tier"], "pro");
        assert_eq!(shown["remaining"], 40);
        // The debt is paid at the old rate until the next request.
        assert_eq!(shown["reset_after_seconds"], 60);
        let remaining = |index: usize| shown["quotas"][index]["remaining"].clone();
        assert_eq!([remaining(0), remaining(1)], [json!(40), json!(1_000)]);

        // 11 units take 6.6 s at 100 a minute.
        let passed = api.send("alice").await;
        assert_eq!(passed.status, StatusCode::OK);
        assert_eq!(passed.limit_remaining_reset(), [50, 39, 7]);
        assert_eq!(
            policy(&passed),
            r#""minute";q=100;w=60, "hour";q=1000;w=3600"#
        );
        assert_eq!(api.exhaust("alice").await.0, 39);
    });
}

#[test]
fn a_downgrade_locks_no_customer_out() {
    over_sockets(async {
        let api = TiersApi::start("downgrade", DEFAULT).await;
        let (passed, rejected) = api.exhaust("bob").await;
        assert_eq!(passed, 50);
        // 50 units of the hour take 180 s.
        let [_, _, reset] = rejected.limit_remaining_reset();
        assert_eq!(reset, 180);

        // 41 of the 50 units have to be paid before a burst of 10 holds one more, at 100 a minute:
        // 24.6 s.
        let shown = api.move_to("bob", "free").await;
        assert_eq!(shown["retry_after_seconds"], 25);
        let rejected = api.send("bob").await;
        rejected.is_rejected_for(25);
        assert!(number(&rejected.headers, "retry-after") <= reset);

        api.clock.advance(Duration::from_millis(24_599));
        api.send("bob").await.is_rejected_for(1);
        api.clock.advance(Duration::from_millis(1));
        let passed = api.send("bob").await;
        assert_eq!(passed.status, StatusCode::OK);
        // From here on, ten units are paid at 10 a minute.
        assert_eq!(passed.limit_remaining_reset(), [10, 0, 60]);
    });
}

#[test]
fn moves_between_tiers_give_and_take_nothing() {
    over_sockets(async {
        let api = TiersApi::start("moves", DEFAULT).await;
        for _ in 0..5 {
            assert_eq!(api.send("alice").await.status, StatusCode::OK);
        }
        for _ in 0..20 {
            assert_eq!(api.move_to("alice", "pro").await["remaining"], 45);
            assert_eq!(api.move_to("alice", "free").await["remaining"], 5);
        }
        assert_eq!(api.exhaust("alice").await.0, 5);
        for _ in 0..20 {
            api.move_to("alice", "pro").await;
            api.move_to("alice", "free").await;
            api.send("alice").await.is_rejected_for(6);
        }
        api.move_to("alice", "pro").await;
        assert_eq!(api.exhaust("alice").await.0, 40);
    });
}

/// At one instant, whatever the order of requests and moves, the largest burst passes.
#[test]
fn of_simultaneous_requests_and_moves_fifty_pass() {
    over_sockets(async {
        let api = Arc::new(TiersApi::start("races", DEFAULT).await);
        let requests: Vec<_> = (0..40)
            .map(|_| {
                let api = Arc::clone(&api);
                tokio::spawn(async move { api.send("alice").await.status == StatusCode::OK })
            })
            .collect();
        for _ in 0..10 {
            api.move_to("alice", "pro").await;
            api.move_to("alice", "free").await;
        }
        let mut passed = 0;
        for request in requests {
            passed += u64::from(request.await.unwrap());
        }
        assert!(passed >= 10, "{passed}");
        api.move_to("alice", "pro").await;
        assert_eq!(passed + api.exhaust("alice").await.0, 50);
    });
}

#[test]
fn a_reload_acts_at_once_and_refills_nothing() {
    over_sockets(async {
        let api = TiersApi::start("reload", DEFAULT).await;
        assert_eq!(api.exhaust("alice").await.0, 10);
        for _ in 0..20 {
            assert_eq!(api.reload(DEFAULT).unwrap(), "nothing changed");
            api.send("alice").await.is_rejected_for(6);
        }
        let twice = DEFAULT.replace("10/minute", "20/minute");
        for _ in 0..20 {
            let changed = r#"replaced "free": "10/minute" by "20/minute""#;
            assert_eq!(api.reload(&twice).unwrap(), changed);
            assert_eq!(api.show("alice").await["remaining"], 10);
            let changed = r#"replaced "free": "20/minute" by "10/minute""#;
            assert_eq!(api.reload(DEFAULT).unwrap(), changed);
            assert_eq!(api.show("alice").await["remaining"], 0);
        }
        api.reload(&twice).unwrap();
        assert_eq!(api.send("alice").await.limit_remaining_reset(), [20, 9, 33]);
    });
}

#[test]
fn a_tier_that_is_removed_keeps_its_policy_for_its_customers() {
    over_sockets(async {
        let api = TiersApi::start("removed", DEFAULT).await;
        assert_eq!(api.reload(r#"team = "60/hour""#).unwrap(), {
            r#"added "team"; removed "free"; removed "pro""#
        });
        assert_eq!(api.exhaust("alice").await.0, 10);
        let unknown = api.ask_to_move("alice", "pro").await;
        assert_eq!(unknown.status, StatusCode::UNPROCESSABLE_ENTITY);
        let detail = r#"found no tier "pro", expected "team""#;
        assert_eq!(unknown.json(), json!({ "detail": detail }));

        // It is the same tier when its name comes back.
        let reloaded = api.reload(r#"free = "15/minute""#).unwrap();
        assert_eq!(reloaded, r#"added "free"; removed "team""#);
        assert_eq!(api.exhaust("alice").await.0, 5);
    });
}

#[test]
fn a_bad_file_is_an_error_that_shows_the_fault_and_changes_nothing() {
    over_sockets(async {
        let api = TiersApi::start("bad", DEFAULT).await;
        let free = |policy: &str| format!("free = {policy}\npro = \"60/hour\"\n");
        for (text, fault) in [
            ("free = ", "TOML parse error at line 1, column "),
            ("free = 10", "1 | free = 10\n"),
            (&free(r#""10/fortnight""#), r#""fortnight" at character 4"#),
            (&free(r#""0/minute""#), "1 | free = \"0/minute\"\n"),
            (
                &free(r#"["1/minute", "60/hour", "500/day"]"#),
                "found 3 quotas in the policy, expected 1 to 2",
            ),
            (
                &free(r#""7/minute burst 18446744073709551615""#),
                "a burst of 18446744073709551615 is too large for 7 units per 60s; expected at most ",
            ),
            (
                &free(r#"["60/hour", "500/day"]"#),
                r#"in the tier "free", "60/hour" and "500/day" share a bucket"#,
            ),
            (
                "free = \"1/minute\"\nfree = \"2/minute\"\n",
                "2 | free = \"2/minute\"\n",
            ),
        ] {
            let error = api.reload(text).unwrap_err();
            let start = format!("{}: ", api.file.0.display());
            assert!(error.starts_with(&start), "{text}: {error}");
            assert!(error.contains(fault), "{text}: {error}");
        }
        let answer = answer(api.admin(Method::GET, "/admin/tiers")).await;
        let policies = json!({ "free": "10/minute", "pro": "100/minute burst 50; 1000/hour" });
        let expected = json!({ "tiers": policies, "reloads": 0, "failed_reloads": 8 });
        assert_eq!(answer.json(), expected);
        assert_eq!(api.exhaust("alice").await.0, 10);

        // An operator who removes the tier of a customer at the start of the service is told.
        let policies = tiers::read_policies(&File::new("no-pro", "free = \"1/hour\"\n").0).unwrap();
        let error = tiers::Api::new(ManualClock::new(), policies).err().unwrap();
        assert_eq!(error.to_string(), r#"found no tier "pro", expected "free""#);
    });
}

#[test]
fn an_operator_shows_a_key_without_spending_and_forgets_it() {
    over_sockets(async {
        let api = TiersApi::start("operator", DEFAULT).await;
        let full = json!({
            "customer": "bob",
            "tier": "pro",
            "is_allowed": true,
            "remaining": 50,
            "retry_after_seconds": null,
            "reset_after_seconds": 0,
            "quotas": [
                { "quota": "100/minute burst 50", "remaining": 50, "reset_after_seconds": 0 },
                { "quota": "1000/hour", "remaining": 1_000, "reset_after_seconds": 0 },
            ],
        });
        assert_eq!(api.show("bob").await, full);
        assert_eq!(api.exhaust("bob").await.0, 50);
        let exhausted = json!({
            "customer": "bob",
            "tier": "pro",
            "is_allowed": false,
            "remaining": 0,
            "retry_after_seconds": 1,
            "reset_after_seconds": 180,
            "quotas": [
                { "quota": "100/minute burst 50", "remaining": 0, "reset_after_seconds": 30 },
                { "quota": "1000/hour", "remaining": 950, "reset_after_seconds": 180 },
            ],
        });
        for _ in 0..3 {
            assert_eq!(api.show("bob").await, exhausted);
        }
        for was_stored in [true, false] {
            let answer = answer(api.admin(Method::DELETE, "/admin/keys/bob")).await;
            let expected = json!({ "customer": "bob", "was_stored": was_stored });
            assert_eq!(answer.json(), expected);
            assert_eq!(api.show("bob").await, full);
        }
        assert_eq!(api.exhaust("bob").await.0, 50);
    });
}

#[test]
fn unknown_tiers_and_customers_are_errors_that_name_them() {
    over_sockets(async {
        let api = TiersApi::start("unknown", DEFAULT).await;
        for name in ["gold", "", "Pro", "pro\n"] {
            let answer = api.ask_to_move("alice", name).await;
            assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
            let detail = format!("found no tier {name:?}, expected one of \"free\", \"pro\"");
            assert_eq!(answer.json(), json!({ "detail": detail }));
        }
        assert_eq!(api.show("alice").await["tier"], "free");

        for (method, path) in [
            (Method::GET, "/admin/keys/mallory"),
            (Method::DELETE, "/admin/keys/mallory"),
            (Method::PUT, "/admin/customers/mallory/tier"),
        ] {
            let answer = answer(api.admin(method, path).body("pro")).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND);
            let detail = r#"found no customer "mallory""#;
            assert_eq!(answer.json(), json!({ "detail": detail }));
        }
    });
}

#[test]
fn each_token_opens_its_own_endpoints() {
    over_sockets(async {
        let api = TiersApi::start("tokens", DEFAULT).await;
        for key in [None, Some(""), Some("key-of-mallory"), Some(ADMIN_TOKEN)] {
            let request = api.served.get("/work");
            let answer = answer(match key {
                Some(key) => request.header("x-api-key", key),
                None => request,
            })
            .await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{key:?}");
            assert_eq!(field(&answer.headers, "www-authenticate"), "ApiKey");
            answer.has_no_field_about_limits();
        }
        for path in ["/admin/tiers", "/admin/keys/alice"] {
            for token in [None, Some(""), Some("key-of-alice"), Some("token-of-the-")] {
                let request = api.served.get(path).header("x-api-key", "key-of-alice");
                let answer = answer(match token {
                    Some(token) => request.header("x-admin-token", token),
                    None => request,
                })
                .await;
                assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{token:?}");
                assert_eq!(field(&answer.headers, "www-authenticate"), "AdminToken");
            }
        }
        assert_eq!(api.exhaust("alice").await.0, 10);

        // Without a token for operators, their endpoints do not exist.
        let policies = tiers::read_policies(&api.file.0).unwrap();
        let closed = Arc::new(tiers::Api::new(ManualClock::new(), policies).unwrap());
        let served = Served::start(tiers::router(closed, None)).await;
        for token in ["", ADMIN_TOKEN] {
            let request = served.get("/admin/tiers").header("x-admin-token", token);
            assert_eq!(answer(request).await.status, StatusCode::NOT_FOUND);
        }
        let health = answer(served.get("/health")).await;
        assert_eq!((health.status, &*health.body), (StatusCode::OK, "ok\n"));
    });
}
