//! A server that is reached over TLS.

use std::{fs, process::Command, time::Duration};

use redis::{Client, TlsCertificates};
use tollgate::Quota;
use tollgate_redis::{Cause, SharedLimiter};

use crate::server::{Server, free_port};

#[tokio::test]
async fn a_certificate_of_the_users_own_is_trusted_and_no_other() {
    // Until a process says otherwise, rustls takes the only provider that is built in.
    let directory = std::env::temp_dir().join(format!("tollgate-tls-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let file = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    let (key, certificate) = (file("key"), file("certificate"));
    let output = Command::new("openssl")
        .args(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2".split(' '),
        )
        .args(["-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", &key, "-out", &certificate])
        .output()
        .expect("`openssl` is there");
    assert!(output.status.success(), "{output:?}");
    let port = free_port().to_string();
    let server = Server::with(&[
        "--tls-port",
        &port,
        "--tls-auth-clients",
        "no",
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &certificate,
    ]);
    let root_cert = Some(fs::read(&certificate).unwrap());
    fs::remove_dir_all(&directory).unwrap();
    let limiter = |root_cert| {
        let certificates = TlsCertificates {
            client_tls: None,
            root_cert,
        };
        let url = format!("rediss://localhost:{port}/");
        let client = Client::build_with_tls(url, certificates).unwrap();
        let builder = SharedLimiter::builder(Quota::per_day(1).burst(10));
        builder
            .deadline(Duration::from_secs(5))
            .connect(client)
            .unwrap()
    };
    let decision = limiter(root_cert).check("alice").await.unwrap();
    assert_eq!(decision.remaining(), 9);
    assert_eq!(server.keys().len(), 1);
    let outage = limiter(None).check("alice").await.unwrap_err();
    assert_eq!(outage.cause(), Cause::Connection);
}
