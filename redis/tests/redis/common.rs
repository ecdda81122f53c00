//! What the tests of the example services share, from the tests of the workspace's root.
#![allow(dead_code)]

#[path = "../../../tests/common/contract.rs"]
pub mod contract;
#[path = "../../../tests/common/http.rs"]
pub mod http;
#[path = "../../../tests/common/oracle.rs"]
pub mod oracle;
#[cfg(unix)]
#[path = "../../../tests/common/programs.rs"]
pub mod programs;
#[path = "../../../tests/common/served.rs"]
pub mod served;
#[path = "../../../tests/common/sockets.rs"]
pub mod sockets;
#[path = "../../../tests/common/threads.rs"]
pub mod threads;
