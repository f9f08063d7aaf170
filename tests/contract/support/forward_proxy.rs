//! A forward proxy: it tunnels every `CONNECT` to one place.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::{Message, RawConnection};

/// A running forward proxy; dropping it ends it and its tunnels.
pub(crate) struct ForwardProxy {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Message>>>,
    _task: JoinSet<()>,
}

/// What a forward proxy answers to `CONNECT`.
#[derive(Clone, Copy)]
enum Reply {
    Established(&'static str),
    Refused(&'static str),
}

impl ForwardProxy {
    /// Tunnels to `to`, whatever `CONNECT` names. Where there is a refusal, it responds with that instead.
    pub(crate) async fn start(to: SocketAddr, refusal: Option<&'static str>) -> Self {
        let established = Reply::Established("HTTP/1.1 200 Connection established\r\n\r\n");
        Self::with(to, refusal.map_or(established, Reply::Refused)).await
    }

    /// Tunnels to `to` after these bytes, which may hold several responses.
    pub(crate) async fn that_says(to: SocketAddr, established: &'static str) -> Self {
        Self::with(to, Reply::Established(established)).await
    }

    async fn with(to: SocketAddr, reply: Reply) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::<Mutex<Vec<Message>>>::default();
        let mut task = JoinSet::new();
        let seen = requests.clone();
        task.spawn(async move {
            let mut tunnels = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                tunnels.spawn(tunnel(stream, to, reply, seen.clone()));
            }
        });
        Self { address, requests, _task: task }
    }

    /// Its URL, with `user_info` such as `me:secret@`.
    pub(crate) fn url(&self, user_info: &str) -> String {
        format!("http://{user_info}{}", self.address)
    }

    /// The heads of all requests to it.
    pub(crate) fn requests(&self) -> Vec<Message> {
        self.requests.lock().unwrap().clone()
    }
}

async fn tunnel(stream: TcpStream, to: SocketAddr, reply: Reply, requests: Arc<Mutex<Vec<Message>>>) {
    let mut client = RawConnection::over(stream);
    let Some(head) = client.head().await else { return };
    requests.lock().unwrap().push(head);
    match reply {
        Reply::Refused(refusal) => client.send(refusal).await,
        Reply::Established(established) => {
            let Ok(mut upstream) = TcpStream::connect(to).await else { return };
            client.send(established).await;
            let (mut client, ahead) = client.into_parts();
            assert!(ahead.is_empty(), "something came before the tunnel was there");
            let _ = copy_bidirectional(&mut client, &mut upstream).await;
        }
    }
}
