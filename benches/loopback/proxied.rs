//! A proxy in front of the upstream: everything at its default, on free ports.

use std::error::Error;
use std::path::Path;

use cxone_proxy::app::settings;
use cxone_proxy::clock::Clock;
use cxone_proxy::config::{self, Config, ConfigError, Environment, Flags};
use cxone_proxy::metrics::Shards;
use cxone_proxy::proxy::{Profile, Proxy, Select, Upstream};
use cxone_proxy::server::Bound;

use super::tokens;

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

/// The proxy that `config` asks for, for the one core of `shards`, with a token at hand instead of a
/// keeper. `listen`: where it is to be found.
pub(crate) async fn assembled(
    config: &Config,
    listen: &Bound,
    shards: &Shards,
) -> Result<Proxy, Box<dyn Error>> {
    let clock = Clock::System;
    let base = settings::base(&config.upstream.base_url);
    let connect = settings::connect(&config.upstream, &config.forward_proxy)?;
    let profile = Profile {
        name: "default".into(),
        select: Select::default(),
        address: None,
        tokens: tokens::at_hand(&clock).await?,
        upstream: Upstream::Fixed(base.clone(), connect(base)?),
        rewrites_links: false,
        shard: shards.iter().next().cloned().unwrap_or_default(),
    };
    let settings = settings::proxy(config, std::slice::from_ref(listen));
    Proxy::new(settings, vec![profile], clock, shards.clone()).ok_or_else(|| "there is no profile".into())
}
