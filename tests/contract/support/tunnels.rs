//! A forward proxy: it answers `CONNECT` and tunnels everything to one place.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::{Message, Wire};

/// A running forward proxy; dropping it ends it and its tunnels.
pub(crate) struct Tunnels {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Message>>>,
    _task: JoinSet<()>,
}

impl Tunnels {
    /// Leads to `to`, whatever is asked for. `refusal` is answered instead, where there is one.
    pub(crate) async fn start(to: SocketAddr, refusal: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Vec<Message>>>::default();
        let mut task = JoinSet::new();
        let noting = seen.clone();
        task.spawn(async move {
            let mut tunnels = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                tunnels.spawn(tunnel(stream, to, refusal, noting.clone()));
            }
        });
        Self { address, seen, _task: task }
    }

    /// Its URL, with `user_info` such as `me:secret@`.
    pub(crate) fn url(&self, user_info: &str) -> String {
        format!("http://{user_info}{}", self.address)
    }

    /// What it was asked.
    pub(crate) fn seen(&self) -> Vec<Message> {
        self.seen.lock().unwrap().clone()
    }
}

async fn tunnel(
    stream: TcpStream,
    to: SocketAddr,
    refusal: Option<&'static str>,
    seen: Arc<Mutex<Vec<Message>>>,
) {
    let mut near = Wire::over(stream);
    let Some(head) = near.head().await else { return };
    seen.lock().unwrap().push(head);
    if let Some(refusal) = refusal {
        near.send(refusal).await;
        return;
    }
    let Ok(mut far) = TcpStream::connect(to).await else { return };
    near.send("HTTP/1.1 200 Connection established\r\n\r\n").await;
    let (mut near, ahead) = near.into_parts();
    assert!(ahead.is_empty(), "something came before the tunnel was there");
    let _ = copy_bidirectional(&mut near, &mut far).await;
}
