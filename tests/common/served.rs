//! A service that listens, its client, and the lines of curl in its documentation.

use std::{
    fs,
    future::IntoFuture,
    path::{Path, PathBuf},
};

use axum::Router;
use http::{HeaderMap, StatusCode};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

use super::http::{field, number};
use super::sockets::listen;

pub struct Served {
    pub url: String,
    pub client: Client,
}

impl Served {
    pub async fn start(router: Router) -> Served {
        let listener = listen().await;
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(axum::serve(listener, router).into_future());
        let client = client();
        Served { url, client }
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.url))
    }

    pub fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.url))
    }
}

pub fn client() -> Client {
    Client::builder().no_proxy().build().unwrap()
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

pub async fn answer(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    Answer {
        status: response.status(),
        headers: response.headers().clone(),
        body: response.text().await.unwrap(),
    }
}

impl Answer {
    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(field(&self.headers, "content-type"), "application/json");
        serde_json::from_str(&self.body).unwrap()
    }

    #[track_caller]
    pub fn limit_remaining_reset(&self) -> [u64; 3] {
        ["limit", "remaining", "reset"]
            .map(|name| number(&self.headers, &format!("x-ratelimit-{name}")))
    }

    /// Checks for status 429, with the same number of seconds in the header and in the body.
    #[track_caller]
    pub fn is_rejected_for(&self, seconds: u64) {
        assert_eq!(self.status, StatusCode::TOO_MANY_REQUESTS, "{}", self.body);
        assert_eq!(number(&self.headers, "retry-after"), seconds);
        let body = json!({ "detail": "rate limit exceeded", "retry_after_seconds": seconds });
        assert_eq!(self.json(), body);
    }

    #[track_caller]
    pub fn has_no_field_about_limits(&self) {
        let is_about_limits = |name: &str| name.contains("ratelimit") || name == "retry-after";
        let found = self
            .headers
            .keys()
            .find(|name| is_about_limits(name.as_str()));
        assert_eq!(found, None);
    }
}

/// The request of a line of curl. An unknown option panics.
pub struct Curl {
    pub url: String,
    headers: Vec<(String, String)>,
    /// Default: POST for a request with a body, GET for any other.
    method: Option<Method>,
    body: Option<String>,
}

impl Curl {
    pub fn parse(line: &str) -> Curl {
        let mut words = words(line).into_iter();
        assert_eq!(words.next().as_deref(), Some("curl"), "{line}");
        let mut curl = Curl {
            url: String::new(),
            headers: Vec::new(),
            method: None,
            body: None,
        };
        while let Some(word) = words.next() {
            match &*word {
                // These options change only the output.
                "-i" | "-N" => {}
                "-X" => curl.method = words.next().map(|name| name.parse().unwrap()),
                "-d" => curl.body = words.next(),
                "-H" => {
                    let header = words.next().unwrap();
                    let (name, value) = header.split_once(": ").expect("a name and a value");
                    curl.headers.push((name.to_owned(), value.to_owned()));
                }
                url if url.starts_with("http://") && curl.url.is_empty() => curl.url = word,
                _ => panic!("{word:?} in {line}"),
            }
        }
        curl
    }

    pub fn request(&self, client: &Client, url: &str) -> RequestBuilder {
        let default = match self.body {
            Some(_) => Method::POST,
            None => Method::GET,
        };
        let method = self.method.clone().unwrap_or(default);
        let mut request = client.request(method, url);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request.body(self.body.clone().unwrap_or_default())
    }
}

/// Returns the words of a shell command. Only single quotes are known.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in line.split('\'').enumerate() {
        if index % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

pub fn example(file: &str) -> String {
    fs::read_to_string(example_path(file)).unwrap()
}

/// Returns the path of a file in the `examples/` of the workspace, from any of its packages.
pub fn example_path(file: &str) -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut directories = package.ancestors().map(|above| above.join("examples"));
    let examples = directories.find(|directory| directory.is_dir());
    examples.expect("the workspace has examples").join(file)
}
