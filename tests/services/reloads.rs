//! `tiers` as a program: SIGHUP reloads its file.

use http::StatusCode;
use reqwest::Client;
use serde_json::{Value, json};

use crate::common::contract::Variables;
use crate::common::programs::{Program, stopped, with_programs};
use crate::common::served::{Answer, answer, client};
use crate::tiers::ADMIN_TOKEN as TOKEN_VARIABLE;
use crate::tiers_contract::{ADMIN_TOKEN, File};

fn variables(file: &File) -> Variables {
    let file = file.0.clone().into_os_string();
    [
        ("TIERS_FILE".to_owned(), file),
        (TOKEN_VARIABLE.to_owned(), ADMIN_TOKEN.into()),
    ]
    .into()
}

/// A running service, with its file and a client.
struct Running {
    program: Program,
    file: File,
    client: Client,
    signals: u64,
}

impl Running {
    async fn start(test: &str, text: &str) -> Running {
        let file = File::new(test, text);
        Running {
            program: Program::start("tiers", variables(&file)).await,
            file,
            client: client(),
            signals: 0,
        }
    }

    async fn work(&self) -> Answer {
        answer(
            self.program
                .curl
                .request(&self.client, &self.program.curl.url),
        )
        .await
    }

    /// Returns the tiers, and the numbers of reloads and of failed ones.
    async fn tiers(&self) -> (Value, [u64; 2]) {
        let url = format!("http://{}/admin/tiers", self.program.address());
        let request = self.client.get(url).header("x-admin-token", ADMIN_TOKEN);
        let shown = answer(request).await.json();
        let number = |name: &str| shown[name].as_u64().unwrap();
        let numbers = [number("reloads"), number("failed_reloads")];
        (shown["tiers"].clone(), numbers)
    }

    /// Replaces the file, sends the signal, and returns when the service has read the file.
    async fn reload(&mut self, text: &str) {
        self.file.write(text);
        self.program.signal("HUP").await;
        self.signals += 1;
        loop {
            let (_, [reloads, failed]) = self.tiers().await;
            if reloads + failed == self.signals {
                break;
            }
        }
    }
}

/// A unit takes more than an hour, so no unit is earned while the test runs.
#[test]
fn reloads_in_a_loop_refill_nothing() {
    with_programs(async {
        let [ten, twenty] =
            [10, 20].map(|units| format!("free = \"{units}/day\"\npro = \"1/day\"\n"));
        let mut running = Running::start("hangups", &ten).await;
        assert_eq!(
            running.program.limit,
            "10/day (free), 1/day (pro) for each customer"
        );
        let mut passed = 0;
        for _ in 0..15 {
            let answer = running.work().await;
            let left = 10_u64.saturating_sub(passed + 1);
            assert_eq!(answer.limit_remaining_reset()[..2], [10, left]);
            passed += u64::from(answer.status == StatusCode::OK);
            running.reload(&ten).await;
        }
        assert_eq!(passed, 10);

        // Under 20 a day, what is left of 20 passes. Under 10 a day, nothing does.
        for round in 0..12 {
            running.reload(&twenty).await;
            let answer = running.work().await;
            let left = 10_u64.saturating_sub(round + 1);
            assert_eq!(answer.limit_remaining_reset()[..2], [20, left]);
            passed += u64::from(answer.status == StatusCode::OK);
            running.reload(&ten).await;
            assert_eq!(running.work().await.status, StatusCode::TOO_MANY_REQUESTS);
        }
        assert_eq!(passed, 20);

        running.program.ask_to_stop("TERM").await;
        let file = running.file.0.display().to_string();
        let (code, log) = running.program.end().await;
        assert_eq!(code, Some(0));
        let lines: Vec<&str> = log.lines().collect();
        assert_eq!(lines.len(), 15 + 24);
        assert_eq!(lines[0], format!("reloaded {file}: nothing changed"));
        for pair in lines[15..].chunks(2) {
            let changed =
                |from, to| format!("reloaded {file}: replaced \"free\": \"{from}\" by \"{to}\"");
            assert_eq!(
                pair,
                [changed("10/day", "20/day"), changed("20/day", "10/day")]
            );
        }
    });
}

/// The signals do not wait for each other, so the service may take several as one.
#[test]
fn reloads_under_load_admit_the_largest_burst_and_end_with_the_last_file() {
    with_programs(async {
        let [ten, twenty] =
            [10, 20].map(|units| format!("free = \"{units}/day\"\npro = \"1/day\"\n"));
        let running = Running::start("load", &ten).await;
        let load = async || {
            let mut passed = 0;
            for _ in 0..40 {
                passed += u64::from(running.work().await.status == StatusCode::OK);
            }
            passed
        };
        let reloads = async {
            for _ in 0..20 {
                for text in [&twenty, &ten] {
                    running.file.write(text);
                    running.program.signal("HUP").await;
                }
            }
            running.file.write(&twenty);
            running.program.signal("HUP").await;
        };
        let (first, second, third, ()) = tokio::join!(load(), load(), load(), reloads);
        let mut passed = first + second + third;
        assert!((10..=20).contains(&passed), "{passed}");

        let expected = json!({ "free": "20/day", "pro": "1/day" });
        while running.tiers().await.0 != expected {}
        while running.work().await.status == StatusCode::OK {
            passed += 1;
        }
        assert_eq!(passed, 20);
    });
}

#[test]
fn a_bad_file_is_logged_and_the_old_limits_stay() {
    with_programs(async {
        let good = "free = \"3/day\"\npro = \"1/day\"\n";
        let mut running = Running::start("bad-hangups", good).await;
        let (tiers, _) = running.tiers().await;
        let bad = "free = \"3/dya\"\npro = \"1/day\"\n";
        for round in 1..=2 {
            running.reload(bad).await;
            assert_eq!(running.tiers().await, (tiers.clone(), [0, round]));
            assert_eq!(
                running.work().await.limit_remaining_reset()[..2],
                [3, 3 - round]
            );
        }
        running.reload("free = \"4/day\"\n").await;
        let (tiers, numbers) = running.tiers().await;
        assert_eq!(
            (tiers.to_string(), numbers),
            (r#"{"free":"4/day"}"#.to_owned(), [1, 2])
        );
        assert_eq!(running.work().await.limit_remaining_reset()[..2], [4, 1]);

        running.program.ask_to_stop("TERM").await;
        let file = running.file.0.display().to_string();
        let (code, log) = running.program.end().await;
        assert_eq!(code, Some(0));
        let warning = format!("warning: the tiers stay as they are: {file}: TOML parse error");
        assert_eq!(log.matches(&warning).count(), 2, "{log}");
        assert!(log.contains("1 | free = \"3/dya\"\n"), "{log}");
        let last = format!(
            "reloaded {file}: replaced \"free\": \"3/day\" by \"4/day\"; removed \"pro\"\n"
        );
        assert!(log.ends_with(&last), "{log}");
    });
}

#[test]
fn a_program_does_not_start_with_a_bad_file() {
    with_programs(async {
        for (test, text, fault) in [
            (
                "start-syntax",
                "free",
                "TOML parse error at line 1, column 5",
            ),
            (
                "start-unknown",
                "free = \"1/day\"",
                "found no tier \"pro\", expected \"free\"",
            ),
            (
                "start-clash",
                "free = [\"1/day\", \"1/hour\"]\npro = \"1/day\"",
                "in the tier \"free\", \"1/day\" and \"1/hour\" share a bucket",
            ),
        ] {
            let file = File::new(test, text);
            let (code, error) = stopped("tiers", variables(&file)).await;
            assert_eq!(code, Some(1));
            let start = format!("error: {}: {fault}", file.0.display());
            assert!(error.starts_with(&start), "{error}");
        }
    });
}
