//! HTTP/2 on both sides, one file for each subject.

mod calls;
mod floods;
mod frames;
mod grpc;
mod messages;

use std::time::Duration;

use tokio::task::LocalSet;

/// Runs a test of sockets and streams; it fails when it hangs.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let test = async { tokio::time::timeout(Duration::from_secs(20), test).await };
    LocalSet::new().block_on(&runtime, test).expect("the test hangs");
}
