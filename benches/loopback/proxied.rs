//! A proxy in front of the upstream: everything at its default, on free ports.

use std::path::Path;

use cxone_proxy::config::{self, Config, ConfigError, Environment, Flags};

/// Everything at its default but the addresses and the credentials. `ca_file` for https.
pub(crate) fn configuration(base_url: &str, ca_file: Option<&Path>) -> Result<Config, ConfigError> {
    let environment = Environment::default()
        .with("CXONE_BASE_URL", base_url)
        .with("CXONE_CA_FILE", ca_file.map(Path::as_os_str).unwrap_or_default())
        .with("CXONE_CLIENT_ID", "bench")
        .with("CXONE_CLIENT_SECRET", "bench-secret")
        .with("CXONE_PROXY_LISTEN", "127.0.0.1:0")
        .with("CXONE_PROXY_ADMIN_LISTEN", "127.0.0.1:0");
    config::load(&Flags::default(), &environment).map(|loaded| loaded.config)
}
