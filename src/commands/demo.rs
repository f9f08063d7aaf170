//! `cxone-proxy demo`: a simulated region, a proxy in front of it, and commands to try.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use super::serve::{ending, not_started, until_ended};
use super::signals::{Signals, on_this_thread};
use super::{Ending, complain, misconfigured};
use crate::app;
use crate::config::{self, Config, Environment, Flags, options};
use crate::log;
use crate::server::Bound;
use crate::simulator::{Region, Settings};

/// Settings of the environment that have to do with the program and not with an upstream.
const INHERITED: [&str; 4] =
    ["CXONE_PROXY_LISTEN", "CXONE_PROXY_ADMIN_LISTEN", "CXONE_PROXY_LOG", "CXONE_PROXY_LOG_FORMAT"];

/// Runs both until a signal ends them.
pub(super) fn run(flags: &Flags, environment: &Environment) -> Ending {
    // A log that has been started before, by whoever embeds this, does as well.
    let _log = match config::load_log(flags, environment) {
        Ok(settings) => log::start(&settings),
        Err(error) => return misconfigured(&error),
    };
    ending(on_this_thread(async {
        let mut signals = Signals::new()?;
        let region = match Region::start(Settings::default()).await {
            Ok(region) => region,
            Err(error) => {
                complain(&format!("cannot start the simulated region: {error}"));
                return Ok(Ending::Failed);
            }
        };
        let config = match configuration(flags, environment, &region) {
            Ok(config) => config,
            Err(error) => return Ok(misconfigured(&error)),
        };
        let running = match app::start(&config) {
            Ok(running) => running,
            Err(error) => return Ok(not_started(&error)),
        };
        tracing::info!(region = %region.address(), "simulated region");
        let text = introduction(&running.proxy, running.admin.as_ref(), &region.base_url());
        // Whoever closed standard output does not want to read it.
        let _ = io::stdout().lock().write_all(text.as_bytes());
        let ended = until_ended(running, &mut signals, &config).await;
        region.stop().await;
        Ok(ended)
    }))
}

fn configuration(
    flags: &Flags,
    environment: &Environment,
    region: &Region,
) -> Result<Config, config::ConfigError> {
    let mut environment = environment.only(&INHERITED).with("CXONE_BASE_URL", region.base_url());
    for (name, value) in logging_in(flags, region) {
        environment = environment.with(name, value);
    }
    config::load(flags, &environment).map(|loaded| loaded.config)
}

/// What the grant that was asked for needs, as the region's own settings have it.
fn logging_in(flags: &Flags, region: &Region) -> Vec<(&'static str, String)> {
    let client =
        || [("CXONE_CLIENT_ID", "demo-client".to_owned()), ("CXONE_CLIENT_SECRET", "demo-secret".to_owned())];
    let key = || {
        [
            ("CXONE_ACCESS_KEY_ID", "demo-access-key".to_owned()),
            ("CXONE_ACCESS_KEY_SECRET", "demo-access-key-secret".to_owned()),
        ]
    };
    let asked = flags.values.iter().rev().find(|(entry, _)| *entry == &options::GRANT);
    match asked.and_then(|(_, word)| word.to_str()) {
        Some("password") => {
            [[("CXONE_TOKEN_URL", region.password_url())].as_slice(), &client(), &key()].concat()
        }
        Some("access_key") => [[("CXONE_TOKEN_URL", region.access_key_url())].as_slice(), &key()].concat(),
        // A word that is no grant is refused when the configuration is loaded.
        Some(_) | None => client().to_vec(),
    }
}

/// What to try, ready to be pasted.
fn introduction(proxy: &Bound, admin: Option<&Bound>, region: &str) -> String {
    let p = Curl(proxy);
    let mut text = format!(
        "A simulated CXone region runs at {region}, and cxone-proxy in front of it. Try:\n\
         \n\
         # who am I? no token in sight: the proxy attaches it\n\
         curl -i {p}/api/v2/users/me\n\
         # what reaches the API, byte for byte\n\
         curl -s {p}//api/v2/echo/a%2Fb?x=1\n\
         # revoke every token; the next request is answered all the same, after one renewal\n\
         curl -X POST {region}/_region/revoke && curl -i {p}/api/v2/users/me\n\
         # two requests a second at most: the third waits as Retry-After says\n\
         curl -X POST {region}/_region/quota -d '{{\"requests\":2,\"per_ms\":1000}}'\n\
         time for i in 1 2 3; do curl -s -o /dev/null -w '%{{http_code}} ' {p}/api/v2/users/me; done\n\
         # events as they come\n\
         curl -N {p}/api/v2/events\n"
    );
    if let Some(admin) = admin {
        let admin = Curl(admin);
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "# what the proxy says of itself\n\
             curl -s {admin}/status\n\
             curl -s {admin}/metrics | grep -v '^#'\n"
        );
    }
    text.push_str("\nEnd it with Ctrl-C.\n");
    text
}

/// An address as curl takes it.
struct Curl<'a>(&'a Bound);

impl std::fmt::Display for Curl<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Bound::Tcp(address) => write!(f, "http://{address}"),
            Bound::Unix(path) => write!(f, "--unix-socket {} http://localhost", path.display()),
        }
    }
}
