//! Back ends that talk and never answer.

use std::io::Write;
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use tokio::net::TcpStream;

use crate::bed::{Bed, ingress, service};
use crate::clients::H1;

#[test]
fn interim_answers_without_end_do_not_put_off_the_end_of_the_wait() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let back_end = thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let interims = "HTTP/1.1 100 Continue\r\n\r\n".repeat(64);
        while socket.write_all(interims.as_bytes()).is_ok() {}
    });
    let annotations = "nginx.ingress.kubernetes.io/proxy-read-timeout: '1', nginx.ingress.kubernetes.io/proxy-next-upstream-tries: '1'";
    let bed = Bed::start(&(service("web", &[address]) + &ingress("web", "a.example", "/", "web", annotations)));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let status = runtime.block_on(async {
        let mut client = H1::new(TcpStream::connect(bed.http).await.unwrap());
        let answer = client.request("GET", "a.example", "/", b"");
        tokio::time::timeout(Duration::from_secs(20), answer).await.expect("the wait ends").0
    });
    assert_eq!(status, 504);
    back_end.join().unwrap();
}
