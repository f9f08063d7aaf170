//! One access token, now.
//!
//! From the configuration to the token endpoint and back, without a refresh task and without a listener.

use std::io;

use crate::{
    clock::Clock,
    config::{self, Config, ConfigError, Environment, Flags, Loaded, Profile},
    log,
    run::on_this_thread,
    tokens::{self, AccessToken, Endpoint, HttpClientError, Network, Unavailable},
};

/// There is no token, and why.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoToken {
    /// The configuration is wrong in itself.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The token endpoint cannot be asked as configured.
    #[error("the token endpoint cannot be asked as configured: {}", log::causes(.0))]
    Endpoint(#[from] HttpClientError),
    /// The machine refuses what every program needs.
    #[error("the program cannot be set up: {0}")]
    Machine(#[from] io::Error),
    /// The token endpoint gave none.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Loads the configuration, starts the log and asks once. Takes ten seconds at most.
pub(super) fn obtain(flags: &Flags, environment: &Environment) -> Result<AccessToken, NoToken> {
    let Loaded { config, warnings, .. } = config::load(flags, environment)?;
    // A log that has been started before, by a program that embeds this one, is as good.
    let _log = log::start(&config.log);
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    ask(&config)
}

/// The token endpoint of a profile.
pub(super) fn endpoint(
    config: &Config,
    profile: &Profile,
    clock: &Clock,
) -> Result<Endpoint, HttpClientError> {
    let forward_proxy = config.forward_proxy.toward(&profile.oauth.token_url).cloned();
    let network = Network { tls: profile.upstream.trust.client_config(&[]), forward_proxy };
    Endpoint::new(profile.oauth.clone(), network, clock.clone())
}

/// Asks the token endpoint once.
fn ask(config: &Config) -> Result<AccessToken, NoToken> {
    let clock = Clock::System;
    let Some(profile) = config.profiles.first() else { return Err(io::Error::other("no profile").into()) };
    let endpoint = endpoint(config, profile, &clock)?;
    let obtained = on_this_thread(async { Ok(tokens::log_in_once(&endpoint, &clock).await) })?;
    Ok(obtained?)
}

#[cfg(test)]
pub(super) mod tests {
    use std::{
        io::{Read, Write},
        net::TcpListener,
    };

    use super::*;

    /// The result of asking a token endpoint that sends this response, and its address.
    pub(in crate::commands) fn asked(answer: &'static str) -> (Result<AccessToken, NoToken>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let endpoint = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"scope=users%3Aread") {
                let mut piece = [0; 1024];
                let length = stream.read(&mut piece).unwrap();
                assert_ne!(length, 0, "broke off after {}", String::from_utf8_lossy(&request));
                request.extend_from_slice(&piece[..length]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(request).unwrap()
        });
        let environment: Environment = [
            ("CXONE_BASE_URL", format!("http://{address}/")),
            ("CXONE_CLIENT_ID", "app".to_owned()),
            ("CXONE_CLIENT_SECRET", "s3cr3t".to_owned()),
            ("CXONE_SCOPES", "users:read".to_owned()),
        ]
        .into_iter()
        .collect();
        let config = config::load(&Flags::default(), &environment).unwrap().config;
        let obtained = ask(&config);
        let request = endpoint.join().unwrap();
        assert!(request.starts_with("POST /api/v2/oauth/token HTTP/1.1\r\n"), "{request}");
        assert!(
            request.contains("grant_type=client_credentials&client_id=app&client_secret=s3cr3t"),
            "{request}"
        );
        (obtained, address)
    }
}
