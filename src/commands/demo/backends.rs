//! The small back ends of the demo: HTTP/1.1 on loopback, each telling who answered what.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// Who answers: the names in the answers, and in the manifests.
pub(super) const NAMES: [&str; 5] = ["web", "api-light", "api-heavy", "site", "tenants"];

/// Back ends that serve until this is dropped.
pub(super) struct Backends {
    addresses: Vec<SocketAddr>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Backends {
    /// Starts one for each of [`NAMES`], each on a free port.
    pub(super) fn start() -> io::Result<Backends> {
        let (stop, stopped) = oneshot::channel();
        let (report, started) = mpsc::channel();
        let thread = thread::Builder::new().name("demo-backends".to_owned()).spawn(move || {
            let outcome = tokio::runtime::Builder::new_current_thread().enable_io().build();
            match outcome {
                Ok(runtime) => runtime.block_on(async {
                    let listeners = listen().await;
                    let _ = report.send(listeners.as_ref().map(|(_, addresses)| addresses.clone()).map_err(copy));
                    if let Ok((listeners, _)) = listeners {
                        for (name, listener) in NAMES.into_iter().zip(listeners) {
                            tokio::spawn(serve(name, listener));
                        }
                        let _ = stopped.await;
                    }
                }),
                Err(error) => drop(report.send(Err(error))),
            }
        })?;
        let addresses = started.recv().unwrap_or_else(|_| Err(io::Error::other("the back ends ended")))?;
        Ok(Backends { addresses, stop: Some(stop), thread: Some(thread) })
    }

    /// The port of the back end `name`; 0 for a name that is not one of [`NAMES`].
    pub(super) fn port(&self, name: &str) -> u16 {
        NAMES.iter().zip(&self.addresses).find(|(known, _)| **known == name).map_or(0, |(_, address)| address.port())
    }
}

impl Drop for Backends {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn listen() -> io::Result<(Vec<TcpListener>, Vec<SocketAddr>)> {
    let (mut listeners, mut addresses) = (Vec::new(), Vec::new());
    for _ in NAMES {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        addresses.push(listener.local_addr()?);
        listeners.push(listener);
    }
    Ok((listeners, addresses))
}

async fn serve(name: &'static str, listener: TcpListener) {
    // An error of accept (too many files) is one connection's; the pause of the next accept is enough.
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let service = service_fn(move |request| async move { Ok::<_, Infallible>(answer(name, &request)) });
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

fn answer(name: &str, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    let host = request.headers().get("host").and_then(|host| host.to_str().ok()).unwrap_or_default();
    let (kind, body) = match name {
        "site" => {
            ("text/html", format!("<!doctype html><title>Site</title><h1>A static site</h1><p>{}</p>\n", page(path)))
        }
        _ => ("application/json", format!("{}\n", serde_json::json!({ "server": name, "host": host, "path": path }))),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    response.headers_mut().insert("content-type", hyper::header::HeaderValue::from_static(kind));
    response
}

/// A path as HTML text.
fn page(path: &str) -> String {
    path.replace('&', "&amp;").replace('<', "&lt;")
}

fn copy(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
}
