//! An upstream that is played by hand: the test reads what arrives and writes what is answered.

use std::net::SocketAddr;

use cxone_proxy::simulator::Settings;
use tokio::net::TcpListener;

use super::{Launch, Stage, Wire, soon};

/// Listens; nothing is answered by itself.
pub(crate) struct Upstream {
    listener: TcpListener,
}

impl Upstream {
    pub(crate) async fn start() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// `http://` and the address.
    pub(crate) fn base_url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The program's next connection.
    pub(crate) async fn accept(&self) -> Wire {
        Wire::over(soon("a connection from the program", self.listener.accept()).await.unwrap().0)
    }

    /// This as the API of a program that gets its tokens from a region.
    pub(crate) async fn stage(&self, launch: impl FnOnce(Launch) -> Launch) -> Stage {
        Stage::with(Settings::default(), |program| {
            let region = program.value("CXONE_BASE_URL").unwrap();
            let token_url = format!("{}/api/v2/oauth/token", region.display());
            launch(program.variable("CXONE_BASE_URL", self.base_url()).variable("CXONE_TOKEN_URL", token_url))
        })
        .await
    }
}
