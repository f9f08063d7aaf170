//! The proxy inside an axum program: its own pages beside the CXone API, with a trace of each request.
//!
//! ```text
//! CXONE_CLIENT_ID=... CXONE_CLIENT_SECRET=... cargo run --example embed
//! curl http://localhost:3000/hello            # this program's own page
//! curl http://localhost:3000/api/v2/users/me  # the CXone API
//! ```
//!
//! It is configured by the same environment variables as the program; what concerns listeners is not used.

use std::error::Error;

use axum::Router;
use axum::routing::get;
use cxone_proxy::config::{self, Config, Environment, Flags};
use cxone_proxy::proxy::Proxy;
use tokio::net::TcpListener;
use tower_http::trace::TraceLayer;

/// The program's own pages, and the proxy for every other path.
pub(crate) fn app(config: &Config) -> Result<Router, Box<dyn Error>> {
    // Starts the task that keeps the access token fresh, on this runtime. It ends with the proxy.
    let proxy = Proxy::from_config(config)?;
    Ok(Router::new()
        .route("/hello", get(async || "hello"))
        .fallback_service(proxy)
        .layer(TraceLayer::new_for_http()))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let loaded = config::load(&Flags::default(), &Environment::of_process())?;
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(address).await?;
    axum::serve(listener, app(&loaded.config)?).await?;
    Ok(())
}
