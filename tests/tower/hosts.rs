//! The host as a key: one bucket for each host in all spellings and versions of HTTP. A malformed
//! host is no key.

use crate::common::http::passed;
use http::{HeaderValue, Request, StatusCode, header};
use std::{borrow::Cow, collections::HashMap};
use tollgate::tower::key::{HeaderKey, HostName, KeyError, RequestKey, try_from_fn};
use tollgate::tower::{Head, OnMissingKey};

const REJECT: OnMissingKey = OnMissingKey::Reject(StatusCode::BAD_REQUEST);

/// One host, in spellings that all reach it.
const SPELLINGS: [&str; 6] = [
    "acme.example.com",
    "ACME.example.com",
    "acme.example.com.",
    "acme.example.com:443",
    "aCmE.Example.COM.:443",
    "acme.example.com:",
];

/// A request whose target has a host, as those of HTTP/2 have.
fn to_target(target: &str) -> Request<()> {
    Request::get(target).body(()).unwrap()
}

/// A request whose host is in the header.
fn to_host(host: &str) -> Request<()> {
    let mut request = Request::new(());
    let host = HeaderValue::from_bytes(host.as_bytes()).unwrap();
    request.headers_mut().insert(header::HOST, host);
    request
}

fn host_of(request: &Request<()>) -> Result<String, KeyError> {
    let head = Head::from(request);
    HostName::new().key(&head).map(Cow::into_owned)
}

#[tokio::test]
async fn a_host_has_one_bucket_in_all_spellings_and_versions() {
    let from_header = SPELLINGS.map(to_host);
    let in_target = SPELLINGS.map(|host| to_target(&format!("https://{host}/")));
    let requests: Vec<_> = from_header.into_iter().chain(in_target).collect();
    for request in &requests {
        assert_eq!(host_of(request), Ok("acme.example.com".to_owned()));
    }
    assert_eq!(passed(HostName::new(), REJECT, requests).await, 1);
}

#[test]
fn a_host_that_is_written_as_an_address_has_one_spelling() {
    for (host, expected) in [
        ("[::1]", "[::1]"),
        ("[0:0::1]:8080", "[::1]"),
        ("[2001:DB8::A]:", "[2001:db8::a]"),
        ("[::ffff:192.0.2.1]", "192.0.2.1"),
        ("192.0.2.1:80", "192.0.2.1"),
        (" \tlocalhost\t ", "localhost"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("_dmarc.example.com", "_dmarc.example.com"),
    ] {
        assert_eq!(host_of(&to_host(host)), Ok(expected.to_owned()), "{host:?}");
    }
}

#[tokio::test]
async fn a_host_that_is_malformed_is_rejected_and_never_absent() {
    let malformed = [
        "",
        " ",
        ".",
        "..",
        ".acme.example.com",
        "acme..example.com",
        "acme.example.com..",
        "acme@example.com",
        "acme:secret@example.com:80",
        "acme%2eexample.com",
        "acme.example.com:http",
        "acme.example.com:123456",
        "acme.example.com:80:80",
        "acme.example.com,acme.example.com",
        "acme.example.com acme.example.com",
        "acme.example.com/",
        "http://acme.example.com",
        "b\u{fc}cher.example",
        "::1",
        "[::1",
        "[::1]80",
        "[::1%eth0]",
        "[192.0.2.1]",
        "[]",
    ];
    for host in malformed {
        assert_eq!(
            host_of(&to_host(host)),
            Err(KeyError::Malformed),
            "{host:?}"
        );
    }
    let no_text = HeaderValue::from_bytes(b"acme\xff.example.com").unwrap();
    let mut request = Request::new(());
    request.headers_mut().insert(header::HOST, no_text);
    assert_eq!(host_of(&request), Err(KeyError::Malformed));
    let userinfo = to_target("https://me@acme.example.com/");
    assert_eq!(host_of(&userinfo), Err(KeyError::Malformed));

    let requests = malformed.map(to_host).to_vec();
    assert_eq!(
        passed(HostName::new(), OnMissingKey::Allow, requests).await,
        0
    );
    assert_eq!(host_of(&Request::new(())), Err(KeyError::Missing));
}

/// The layer and the service behind it must mean the same host.
#[test]
fn a_request_that_names_two_hosts_is_rejected() {
    let mut request = to_target("https://acme.example.com/");
    for (host, expected) in [
        ("acme.example.com", Ok("acme.example.com".to_owned())),
        ("ACME.example.com:443", Ok("acme.example.com".to_owned())),
        ("other.example.com", Err(KeyError::Malformed)),
        ("", Err(KeyError::Malformed)),
    ] {
        let value = HeaderValue::from_str(host).unwrap();
        request.headers_mut().insert(header::HOST, value);
        assert_eq!(host_of(&request), expected, "{host:?}");
    }
    let mut twice = to_host("acme.example.com");
    let again = HeaderValue::from_static("acme.example.com");
    twice.headers_mut().append(header::HOST, again);
    assert_eq!(host_of(&twice), Err(KeyError::Malformed));
}

#[test]
fn a_host_is_bounded_by_what_a_name_can_be() {
    let longest = format!("{}.{}", "a".repeat(126), "b".repeat(126));
    assert_eq!(longest.len(), 253);
    let dotted = format!("{longest}.:443");
    assert_eq!(host_of(&to_host(&dotted)), Ok(longest.clone()));
    let too_long = Err(KeyError::TooLong { max_len: 253 });
    assert_eq!(host_of(&to_host(&format!("{longest}c"))), too_long);
    assert_eq!(host_of(&to_host(&"a.".repeat(4_000))), too_long);
}

#[test]
fn a_host_is_copied_only_if_its_spelling_changes() {
    let request = to_host("acme.example.com.:443");
    let head = Head::from(&request);
    assert!(matches!(
        HostName::new().key(&head),
        Ok(Cow::Borrowed("acme.example.com"))
    ));
}

/// The example of `RequestKey`.
#[tokio::test]
async fn a_made_up_host_has_no_bucket_where_hosts_are_looked_up() {
    let known = HashMap::from([("acme.example.com", 7)]);
    let tenants = try_from_fn(move |request| {
        let host = HostName::new().key(request)?;
        known.get(&*host).copied().ok_or(KeyError::Malformed)
    });
    let mut requests = SPELLINGS.map(to_host).to_vec();
    requests.extend((0..5).map(|number| to_host(&format!("acme{number}.example.com"))));
    requests.push(Request::new(()));
    assert_eq!(passed(tenants, REJECT, requests).await, 1);
}

/// The form that the documentation had before.
#[tokio::test]
async fn the_host_header_alone_is_no_key_on_http_2_and_has_many_spellings() {
    let host = || HeaderKey::from(header::HOST);
    let http2 = (0..5).map(|_| to_target("https://acme.example.com/"));
    assert_eq!(
        passed(host(), OnMissingKey::Allow, http2.collect()).await,
        5
    );
    let spellings = SPELLINGS.map(to_host).to_vec();
    assert_eq!(passed(host(), REJECT, spellings).await, SPELLINGS.len());
}
