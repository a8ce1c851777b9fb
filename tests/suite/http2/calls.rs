//! Where gRPC calls go when one of three back ends is slow, silent, unavailable, or refuses them.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fairlead::settings::Limits;
use h2::client::SendRequest;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::select;
use tokio::sync::Notify;
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};

use super::run;
use crate::bed::{Bed, ingress, service};
use crate::clients::h2;

/// What becomes of a call.
#[derive(Clone, Copy)]
enum Mood {
    /// It is answered so long after its first message.
    Answers(Duration),
    /// It is never answered.
    Hangs,
    /// It is answered with this status, in a head alone.
    Says(&'static str),
    /// It is refused as soon as so many octets came, or its end.
    RefusesAt(usize),
    /// It is reset at its end.
    Breaks,
    /// The connection ends at its end, with a word that says that the call was looked at.
    Leaves,
}

const AT_ONCE: Mood = Mood::Answers(Duration::ZERO);
const SLOW: Duration = Duration::from_millis(150);
/// So many of 120 go where nothing is to be had: chance decides until all are known.
const FEW: usize = 15;

/// A back end for gRPC on the current `LocalSet`.
#[derive(Clone)]
struct BackEnd {
    address: SocketAddr,
    mood: Rc<Cell<Mood>>,
    /// The calls that came.
    calls: Rc<Cell<usize>>,
    /// Those that were answered, as they came.
    came: Rc<RefCell<Vec<Came>>>,
    leaves: Rc<Notify>,
}

/// The body of a call and its trailers.
type Came = (Vec<u8>, Option<HeaderMap>);

impl BackEnd {
    async fn start() -> BackEnd {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let back_end = BackEnd {
            address: listener.local_addr().unwrap(),
            mood: Rc::new(Cell::new(AT_ONCE)),
            calls: Rc::default(),
            came: Rc::default(),
            leaves: Rc::default(),
        };
        let own = back_end.clone();
        spawn_local(async move {
            loop {
                spawn_local(own.clone().serve(listener.accept().await.unwrap().0));
            }
        });
        back_end
    }

    async fn serve(self, socket: TcpStream) {
        let mut connection = h2::server::handshake(socket).await.unwrap();
        loop {
            select! {
                accepted = connection.accept() => {
                    let Some(Ok((request, respond))) = accepted else { return };
                    self.calls.set(self.calls.get() + 1);
                    spawn_local(self.clone().answer(request.into_body(), respond));
                }
                () = self.leaves.notified() => connection.abrupt_shutdown(Reason::INTERNAL_ERROR),
            }
        }
    }

    async fn answer(self, mut body: RecvStream, mut respond: SendResponse<Bytes>) {
        let head = Response::builder().header("content-type", "application/grpc");
        let mut came = Vec::new();
        match self.mood.get() {
            Mood::Answers(after) => {
                read(&mut body, 1, &mut came).await;
                sleep(after).await;
                let mut send = respond.send_response(head.body(()).unwrap(), false).unwrap();
                read(&mut body, usize::MAX, &mut came).await;
                let Ok(trailers) = body.trailers().await else { return };
                self.came.borrow_mut().push((came, trailers));
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", "0".parse().unwrap());
                send.send_trailers(trailers).unwrap();
            }
            Mood::Hangs => std::future::pending().await,
            Mood::Says(status) => {
                read(&mut body, usize::MAX, &mut came).await;
                respond.send_response(head.header("grpc-status", status).body(()).unwrap(), true).unwrap();
            }
            Mood::RefusesAt(octets) => {
                read(&mut body, octets, &mut came).await;
                respond.send_reset(Reason::REFUSED_STREAM);
            }
            Mood::Breaks => {
                read(&mut body, usize::MAX, &mut came).await;
                respond.send_reset(Reason::INTERNAL_ERROR);
            }
            Mood::Leaves => {
                read(&mut body, usize::MAX, &mut came).await;
                self.leaves.notify_one();
                std::future::pending().await
            }
        }
    }
}

/// Reads until `came` has so many octets, or to the end.
async fn read(body: &mut RecvStream, octets: usize, came: &mut Vec<u8>) {
    while came.len() < octets
        && let Some(Ok(data)) = body.data().await
    {
        body.flow_control().release_capacity(data.len()).unwrap();
        came.extend_from_slice(&data);
    }
}

/// So many back ends, a proxy with these annotations before them, and a client.
async fn scene(count: usize, settings: &str) -> (Vec<BackEnd>, Bed, SendRequest<Bytes>) {
    let mut back_ends = Vec::new();
    for _ in 0..count {
        back_ends.push(BackEnd::start().await);
    }
    let addresses: Vec<SocketAddr> = back_ends.iter().map(|back_end| back_end.address).collect();
    let settings = format!("nginx.ingress.kubernetes.io/backend-protocol: GRPC, {settings}");
    let manifests = service("web", &addresses) + &ingress("web", "a.example", "/", "web", &settings);
    let bed = Bed::with(&manifests, Limits::default(), 1, None);
    let client = h2(TcpStream::connect(bed.http).await.unwrap()).await;
    (back_ends, bed, client)
}

/// The head of a call, its message to follow.
async fn begin(client: &SendRequest<Bytes>) -> (h2::client::ResponseFuture, SendStream<Bytes>) {
    let request = Request::post("http://a.example/x.Y/Z").header("content-type", "application/grpc").body(()).unwrap();
    client.clone().ready().await.unwrap().send_request(request, false).unwrap()
}

/// A call of one message: the answer.
async fn call(client: &SendRequest<Bytes>) -> Response<RecvStream> {
    let (response, mut send) = begin(client).await;
    send.send_data(Bytes::from("hello"), true).unwrap();
    response.await.unwrap()
}

#[test]
fn whoever_goes_by_latency_measures_calls() {
    run(async {
        let (back_ends, bed, client) = scene(3, "fairlead.dev/load-balance: ewma").await;
        back_ends[0].mood.set(Mood::Answers(SLOW));
        for _ in 0..120 {
            call(&client).await;
        }
        assert!((1..=FEW).contains(&back_ends[0].calls.get()), "{}", back_ends[0].calls.get());
        assert!(bed.latency(back_ends[0].address).unwrap() >= SLOW);
    });
}

#[test]
fn whoever_goes_by_latency_learns_from_calls_that_are_given_up() {
    run(async {
        let (back_ends, _bed, client) = scene(3, "fairlead.dev/load-balance: ewma").await;
        back_ends[0].mood.set(Mood::Hangs);
        for _ in 0..120 {
            // The stream is reset when the future is dropped.
            let _given_up = timeout(SLOW, call(&client)).await;
        }
        assert!((1..=FEW).contains(&back_ends[0].calls.get()), "{}", back_ends[0].calls.get());
    });
}

#[test]
fn the_time_that_a_client_takes_is_not_the_time_of_the_endpoint() {
    run(async {
        let (back_ends, bed, client) = scene(1, "fairlead.dev/load-balance: ewma").await;
        let latency = || bed.latency(back_ends[0].address);

        // Streams that the client gives up before their end say nothing.
        let (response, send) = begin(&client).await;
        sleep(SLOW).await;
        drop((response, send));
        back_ends[0].mood.set(Mood::Hangs);
        let (response, mut send) = begin(&client).await;
        send.send_data(Bytes::from("hello"), false).unwrap();
        sleep(SLOW).await;
        drop((response, send));
        sleep(Duration::from_millis(50)).await;
        assert_eq!(latency(), None);

        // The same for what is answered, before its end and after it.
        back_ends[0].mood.set(AT_ONCE);
        for is_end in [false, true] {
            let (response, mut send) = begin(&client).await;
            sleep(SLOW).await;
            send.send_data(Bytes::from("hello"), is_end).unwrap();
            response.await.unwrap();
            let latency = latency().unwrap();
            assert!(latency < SLOW, "{latency:?}");
        }

        back_ends[0].mood.set(Mood::Answers(SLOW));
        let (response, mut send) = begin(&client).await;
        send.send_data(Bytes::from("hello"), false).unwrap();
        let began = Instant::now();
        response.await.unwrap();
        let latency = latency().unwrap();
        assert!(
            (SLOW..began.elapsed() + SLOW / 2).contains(&latency),
            "{latency:?}: it answers after the first message"
        );
    });
}

#[test]
fn unavailable_back_ends_fail_where_5xx_do() {
    run(async {
        let passive = "fairlead.dev/passive-health: 'on=5xx'";
        for (settings, most) in [(passive, 5), ("fairlead.dev/load-balance: ewma", FEW), ("", 40)] {
            for status in ["14", "2"] {
                let (back_ends, bed, client) = scene(3, settings).await;
                back_ends[0].mood.set(Mood::Says(status));
                for _ in 0..120 {
                    let response = call(&client).await;
                    // The client gets what the back end said.
                    let is_own = response.headers().get("grpc-status").is_none_or(|own| own == status);
                    assert!(response.status() == 200 && is_own, "{response:?}");
                }
                let (calls, standing) = (back_ends[0].calls.get(), bed.standing(back_ends[0].address).0);
                assert!((1..=most).contains(&calls), "{settings}: {calls}");
                assert_eq!(standing, if settings == passive { "ejected" } else { "ready" });
                assert!(!settings.is_empty() || calls == most, "nothing fails where nobody asks: {calls}");
            }
        }
    });
}

#[test]
fn what_a_call_is_told_that_is_its_own_fault_is_no_failure() {
    run(async {
        for status in ["0", "5", "8", "12", "x"] {
            let (back_ends, bed, client) = scene(2, "fairlead.dev/passive-health: 'on=5xx'").await;
            back_ends[0].mood.set(Mood::Says(status));
            for _ in 0..20 {
                call(&client).await;
            }
            assert_eq!((back_ends[0].calls.get(), bed.standing(back_ends[0].address).0), (10, "ready"), "{status}");
        }
    });
}

/// A call whose body comes in these parts, with trailers behind them: the status of the answer.
async fn call_in_parts(client: &SendRequest<Bytes>, parts: &[Bytes]) -> u16 {
    let (response, mut send) = begin(client).await;
    let sending = async {
        for part in parts {
            let _refused = send.send_data(part.clone(), false);
            sleep(Duration::from_millis(2)).await;
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("x-end", "here".parse().unwrap());
        let _refused = send.send_trailers(trailers);
    };
    let response = futures::future::join(response, sending).await.0.unwrap();
    let status = response.status().as_u16();
    to_end(response).await;
    status
}

/// Waits for the end of an answer: a stream that is dropped before is reset.
async fn to_end(response: Response<RecvStream>) {
    let mut body = response.into_body();
    while let Some(Ok(data)) = body.data().await {
        body.flow_control().release_capacity(data.len()).unwrap();
    }
    let _trailers = body.trailers().await;
}

/// Octets that are all over the place.
fn octets(count: usize) -> Bytes {
    (0..count).map(|at| (at % 251) as u8).collect()
}

#[test]
fn a_call_that_was_refused_after_its_body_is_sent_to_another_as_it_was() {
    run(async {
        let (back_ends, _bed, client) = scene(3, "fairlead.dev/load-balance: round_robin").await;
        back_ends[0].mood.set(Mood::RefusesAt(usize::MAX));
        let parts = [octets(10), octets(5_000), octets(1), octets(30_000), octets(4_095)];
        for _ in 0..12 {
            assert_eq!(call_in_parts(&client, &parts).await, 200);
        }
        assert!(back_ends[0].calls.get() > 1, "it was asked");
        let came: Vec<Came> = back_ends[1..].iter().flat_map(|back_end| back_end.came.take()).collect();
        assert_eq!(came.len(), 12);
        for (body, trailers) in came {
            assert_eq!(trailers.unwrap()["x-end"], "here");
            assert!(body == parts.concat(), "{} octets", body.len());
        }
    });
}

#[test]
fn a_stream_that_was_refused_goes_on_elsewhere() {
    run(async {
        let (back_ends, _bed, client) = scene(2, "fairlead.dev/load-balance: round_robin").await;
        back_ends[0].mood.set(Mood::RefusesAt(1));
        for _ in 0..4 {
            let (response, mut send) = begin(&client).await;
            send.send_data(octets(20), false).unwrap();
            let response = response.await.unwrap();
            assert_eq!(response.status(), 200);
            send.send_data(octets(100_000), true).unwrap();
            to_end(response).await;
        }
        assert!(back_ends[0].calls.get() > 0, "it was asked");
        let whole = [octets(20), octets(100_000)].concat();
        assert!(*back_ends[1].came.borrow() == vec![(whole, None); 4]);
    });
}

#[test]
fn a_call_of_which_more_passed_than_is_kept_is_not_sent_again() {
    run(async {
        let (back_ends, _bed, client) = scene(2, "").await;
        back_ends.iter().for_each(|back_end| back_end.mood.set(Mood::RefusesAt(150_000)));
        let parts = vec![octets(10_000); 20];
        assert_eq!(call_in_parts(&client, &parts).await, 502);
        assert_eq!(back_ends.iter().map(|back_end| back_end.calls.get()).sum::<usize>(), 1);
    });
}

#[test]
fn a_call_that_may_have_been_looked_at_is_not_sent_again_unless_that_is_asked_for() {
    run(async {
        for mood in [Mood::Breaks, Mood::Leaves] {
            for (more, calls) in [("", 1), ("fairlead.dev/proxy-next-upstream: error timeout non_idempotent", 3)] {
                let (back_ends, _bed, client) = scene(3, more).await;
                back_ends.iter().for_each(|back_end| back_end.mood.set(mood));
                assert_eq!(call_in_parts(&client, &[octets(10)]).await, 502);
                assert_eq!(back_ends.iter().map(|back_end| back_end.calls.get()).sum::<usize>(), calls);
            }
        }
    });
}
