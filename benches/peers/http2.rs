//! The HTTP/2 client: a fixed number of streams at once on each connection.

use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use tokio::task::JoinSet;

use crate::Load;
use crate::h1::{FIELDS, connect};
use crate::tally::Tally;

/// One connection; opened again when the proxy ends it (nginx does so after 1,000 requests by default).
pub(crate) async fn client(load: Rc<Load>, tally: Tally) -> anyhow::Result<()> {
    loop {
        let (sender, connection) = h2::client::Builder::new()
            .initial_window_size(1 << 20)
            .initial_connection_window_size(16 << 20)
            .handshake::<_, Bytes>(connect(&load).await?)
            .await?;
        let driver = tokio::task::spawn_local(connection);
        let mut streams = JoinSet::new();
        for _ in 0..load.streams {
            streams.spawn_local(requests(load.clone(), tally.clone(), sender.clone()));
        }
        drop(sender);
        let mut done = true;
        while let Some(ended) = streams.join_next().await {
            done &= ended?;
        }
        driver.abort();
        if done {
            return Ok(());
        }
    }
}

/// Requests one after the other; false if the connection ended before the load did.
async fn requests(load: Rc<Load>, tally: Tally, mut sender: SendRequest<Bytes>) -> bool {
    let body = Bytes::from(vec![b'x'; load.post]);
    while tally.may_send() {
        let sent = Instant::now();
        match exchange(&load, &mut sender, body.clone()).await {
            Ok(status) => tally.answered(status, sent.elapsed(), 0),
            Err(error) if error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR) => return false,
            Err(_) => {
                tally.broke();
                return false;
            }
        }
    }
    true
}

async fn exchange(load: &Load, sender: &mut SendRequest<Bytes>, body: Bytes) -> Result<u16, h2::Error> {
    std::future::poll_fn(|task| sender.poll_ready(task)).await?;
    let scheme = if load.tls.is_some() { "https" } else { "http" };
    let mut request = Request::builder()
        .method(if body.is_empty() { "GET" } else { "POST" })
        .uri(format!("{scheme}://{}{}", load.host, load.path));
    for (name, value) in FIELDS {
        request = request.header(name, value);
    }
    let request = request.body(()).map_err(|_| h2::Reason::INTERNAL_ERROR)?;
    let (answer, mut out) = sender.send_request(request, body.is_empty())?;
    if !body.is_empty() {
        send(&mut out, body).await?;
    }
    let answer = answer.await?;
    let status = answer.status().as_u16();
    let mut body = answer.into_body();
    while let Some(part) = body.data().await {
        body.flow_control().release_capacity(part?.len())?;
    }
    Ok(status)
}

/// Sends the body as fast as the window allows.
async fn send(out: &mut h2::SendStream<Bytes>, mut body: Bytes) -> Result<(), h2::Error> {
    while !body.is_empty() {
        out.reserve_capacity(body.len());
        let Some(granted) = std::future::poll_fn(|task| out.poll_capacity(task)).await else {
            return Err(h2::Reason::CANCEL.into());
        };
        let part = body.split_to(granted?.min(body.len()));
        out.send_data(part, body.is_empty())?;
    }
    Ok(())
}
