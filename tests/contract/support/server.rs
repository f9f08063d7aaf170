//! A server that answers each request by a function of it: a scripted token endpoint, an API of few words, a
//! place where no request must arrive.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::message::Message;
use super::raw::RawConnection;

/// So many requests can be looked at; load tests send more.
const MOST_REMEMBERED: usize = 10_000;

/// Decides the bytes of a response; none closes the connection.
type Respond = dyn Fn(&Message) -> Vec<u8> + Send + Sync;

/// A running server; dropping it ends it and its connections.
pub(crate) struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Message>>>,
    accepted: Arc<Mutex<usize>>,
    _task: JoinSet<()>,
}

impl Server {
    pub(crate) async fn start(respond: impl Fn(&Message) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::<Mutex<Vec<Message>>>::default();
        let accepted = Arc::<Mutex<usize>>::default();
        let mut task = JoinSet::new();
        let (requests_seen, accepted_count) = (requests.clone(), accepted.clone());
        let respond: Arc<Respond> = Arc::new(respond);
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                *accepted_count.lock().unwrap() += 1;
                let (respond, requests) = (respond.clone(), requests_seen.clone());
                connections.spawn(run(RawConnection::over(stream), respond, requests));
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, requests, accepted, _task: task }
    }

    /// A token endpoint that answers each request with the next of these responses, and with the last one
    /// from then on.
    pub(crate) async fn of_tokens(responses: Vec<Vec<u8>>) -> Self {
        let left = Mutex::new(responses);
        Self::start(move |_| {
            let mut left = left.lock().unwrap();
            if left.len() > 1 { left.remove(0) } else { left[0].clone() }
        })
        .await
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://` and the address.
    pub(crate) fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it was asked, in order.
    pub(crate) fn requests(&self) -> Vec<Message> {
        self.requests.lock().unwrap().clone()
    }

    /// How many connections it has accepted.
    pub(crate) fn accepted(&self) -> usize {
        *self.accepted.lock().unwrap()
    }
}

async fn run(mut connection: RawConnection, respond: Arc<Respond>, requests: Arc<Mutex<Vec<Message>>>) {
    // What does not begin like a method is TLS or worse, and gets the connection's end.
    while connection.first().await.is_some_and(|byte| byte.is_ascii_uppercase()) {
        let Ok(request) = connection.request().await else { return };
        let response = respond(&request);
        remember(&requests, request);
        if response.is_empty() || connection.try_send(&response).await.is_err() {
            return;
        }
    }
}

fn remember(requests: &Mutex<Vec<Message>>, request: Message) {
    let mut requests = requests.lock().unwrap();
    if requests.len() < MOST_REMEMBERED {
        requests.push(request);
    }
}
