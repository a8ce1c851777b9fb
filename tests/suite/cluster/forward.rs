//! Ports of Pods, forwarded over a WebSocket as the API server does it: each Pod is a port of this machine.

use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::fake::Ask;

/// The first of two channels of a port carries bytes, the other what is wrong.
const BYTES: u8 = 0;
const FAULT: u8 = 1;

/// Serves one request to forward the one port that it names. As a kubelet may, it keeps the WebSocket open when the Pod
/// has closed the connection.
pub(super) async fn serve(socket: &mut BufReader<TcpStream>, head: &[String], ask: &Ask) {
    let key = head.iter().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("sec-websocket-key").then(|| derive_accept_key(value.trim().as_bytes()))
    });
    let switch = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: v4.channel.k8s.io\r\n\r\n",
        key.expect("the client asks for a WebSocket")
    );
    socket.write_all(switch.as_bytes()).await.unwrap();
    let mut web = WebSocketStream::from_raw_socket(socket, Role::Server, None).await;
    let port: u16 = ask.query["ports"].parse().unwrap();
    for channel in [BYTES, FAULT] {
        let [low, high] = port.to_le_bytes();
        web.send(Message::binary(vec![channel, low, high])).await.unwrap();
    }
    let mut pod = match TcpStream::connect(("127.0.0.1", port)).await {
        Ok(pod) => pod,
        Err(error) => {
            web.send(Message::binary([&[FAULT], error.to_string().as_bytes()].concat())).await.unwrap();
            while let Some(Ok(_)) = web.next().await {}
            return;
        }
    };
    let (mut bytes, mut is_open) = (vec![BYTES; 1000], true);
    loop {
        tokio::select! {
            message = web.next() => match message {
                Some(Ok(Message::Binary(message))) if message.first() == Some(&BYTES) => {
                    pod.write_all(&message[1..]).await.unwrap();
                }
                Some(Ok(_)) => {}
                None | Some(Err(_)) => return,
            },
            count = pod.read(&mut bytes[1..]), if is_open => match count {
                Ok(0) | Err(_) => is_open = false,
                Ok(count) => web.send(Message::binary(bytes[..=count].to_vec())).await.unwrap(),
            },
        }
    }
}
