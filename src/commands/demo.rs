//! `cxone-proxy demo`: a simulated region, a proxy in front of it, and commands to try.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};

use cxone_simulator::{Region, Settings};

use super::complaint::{complain, misconfigured};
use super::ending::Ending;
use super::region_limits::Limits;
use super::serve::{ending, not_started, until_ended};
use super::signals::Signals;
use crate::config::{self, Config, Environment, Flags, options};
use crate::log;
use crate::run::{self, on_this_thread};
use crate::server::Bound;

/// The variables that concern the program and not an upstream.
const INHERITED: [&str; 4] =
    ["CXONE_PROXY_LISTEN", "CXONE_PROXY_ADMIN_LISTEN", "CXONE_PROXY_LOG", "CXONE_PROXY_LOG_FORMAT"];

/// Runs both until a signal ends them.
pub(super) fn run(limits: &Limits, flags: &Flags, environment: &Environment) -> Ending {
    // A log that has been started before, by a program that embeds this one, is as good.
    let log = match config::load_log(flags, environment) {
        Ok(settings) => log::start(&settings).ok(),
        Err(error) => return misconfigured(&error),
    };
    let has_colours = io::stdout().is_terminal() && !environment.no_color();
    ending(on_this_thread(async {
        let mut signals = Signals::new()?;
        let mut settings = Settings::default();
        limits.apply(&mut settings);
        let region = match Region::start(settings).await {
            Ok(region) => region,
            Err(error) => {
                complain(&format!("cannot start the simulated region: {error}"));
                return Ok(Ending::Failed);
            }
        };
        let (environment, moved) = on_free_ports(flags, environment.only(&INHERITED), is_free);
        let config = match configuration(flags, environment, &region) {
            Ok(config) => config,
            Err(error) => return Ok(misconfigured(&error)),
        };
        let running = match run::start(&config, log.as_ref(), run::Options::default()) {
            Ok(running) => running,
            Err(error) => return Ok(not_started(&error, &config)),
        };
        tracing::info!(region = %region.address(), "simulated region");
        let mut text = introduction(&running.proxy, running.admin.as_ref(), &region.base_url(), &moved);
        if has_colours {
            text = coloured(&text);
        }
        // A reader that has closed standard output does not want the text.
        let _ = io::stdout().lock().write_all(text.as_bytes());
        let ended = Box::pin(until_ended(running, &mut signals, config, None)).await;
        region.stop().await;
        Ok(ended)
    }))
}

/// Where a default port is taken, the next one that is free, and a sentence that says so. An address that
/// somebody set is left alone.
fn on_free_ports(
    flags: &Flags,
    mut environment: Environment,
    is_free: impl Fn(u16) -> bool,
) -> (Environment, Vec<String>) {
    let mut sentences = Vec::new();
    let mut chosen = Vec::new();
    for (entry, port, what) in
        [(&options::LISTEN, 8080, "the proxy listens"), (&options::ADMIN_LISTEN, 8081, "its admin pages are")]
    {
        let is_set = environment.value(entry.variable).is_some()
            || flags.values.iter().any(|(flagged, _)| *flagged == entry);
        if is_set || is_free(port) {
            chosen.push(port);
            continue;
        }
        let next = (port..=u16::MAX)
            .find(|next| ![8080, 8081].contains(next) && !chosen.contains(next) && is_free(*next));
        if let Some(next) = next {
            chosen.push(next);
            environment = environment.with(entry.variable, format!("127.0.0.1:{next}"));
            sentences.push(format!("Port {port} is taken, so {what} on port {next}."));
        }
    }
    (environment, sentences)
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn configuration(
    flags: &Flags,
    environment: Environment,
    region: &Region,
) -> Result<Config, config::ConfigError> {
    let mut environment = environment.with("CXONE_BASE_URL", region.base_url());
    for (name, value) in logging_in(flags, region) {
        environment = environment.with(name, value);
    }
    config::load(flags, &environment).map(|loaded| loaded.config)
}

/// What the chosen grant needs, as the region's own settings have it.
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
        // A word that is not a grant is refused when the configuration is loaded.
        Some(_) | None => client().to_vec(),
    }
}

/// What to try, in lines to be pasted.
fn introduction(proxy: &Bound, admin: Option<&Bound>, region: &str, moved: &[String]) -> String {
    let p = Curl(proxy);
    let mut text = String::new();
    for sentence in moved {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{sentence}");
    }
    let _ = write!(
        text,
        "A simulated CXone region runs at {region},\n\
         and cxone-proxy in front of it. No account is needed.\n\
         \n"
    );
    if let Some(Bound::Tcp(addresses)) = admin
        && let Some(address) = addresses.first()
    {
        let _ = write!(
            text,
            "Watch requests, token and pace in a browser:\n\
             http://{address}/\n\
             \n"
        );
    }
    let _ = write!(
        text,
        "Try in another terminal:\n\
         \n\
         # who am I? without a token: the proxy attaches it\n\
         curl -i {p}/api/v2/users/me\n\
         # what reaches the API, byte for byte\n\
         curl -s {p}//api/v2/echo/a%2Fb?x=1\n\
         # revoke every token; the next request succeeds after one renewal\n\
         curl -X POST {region}/_region/revoke\n\
         curl -i {p}/api/v2/users/me\n\
         # two requests a second at most: the third waits as Retry-After says\n\
         curl -X POST {region}/_region/quota \\\n     -d '{{\"requests\":2,\"per_ms\":1000}}'\n\
         for i in 1 2 3; do curl -s -o /dev/null -w '%{{http_code}} %{{time_total}} s\\n' \\\n     {p}/api/v2/users/me; done\n\
         # no limit again\n\
         curl -X DELETE {region}/_region/quota\n\
         # events as they come\n\
         curl -N {p}/api/v2/events\n"
    );
    if let Some(admin) = admin {
        let admin = Curl(admin);
        let _ = write!(
            text,
            "# the state of the proxy, and its metrics\n\
             curl -s {admin}/status\n\
             curl -s {admin}/metrics | grep -v '^#'\n"
        );
    }
    text.push_str("\nEnd it with Ctrl-C.\n");
    text
}

/// The same for a terminal: what is said about a command is dim, and a page's address stands out.
fn coloured(text: &str) -> String {
    let line = |line: &str| match line {
        said if said.starts_with('#') => format!("\x1b[2m{said}\x1b[0m\n"),
        page if page.starts_with("http://") => format!("\x1b[1;36m{page}\x1b[0m\n"),
        other => format!("{other}\n"),
    };
    text.lines().map(line).collect()
}

/// An address as curl takes it.
struct Curl<'a>(&'a Bound);

impl std::fmt::Display for Curl<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Bound::Tcp(addresses) => match addresses.first() {
                Some(address) => write!(f, "http://{address}"),
                None => Ok(()),
            },
            Bound::Unix(path) => write!(f, "--unix-socket {} http://localhost", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(taken: &[u16], set: &[(&str, &str)]) -> (Option<String>, Option<String>, Vec<String>) {
        let environment = set.iter().copied().collect();
        let (environment, sentences) =
            on_free_ports(&Flags::default(), environment, |port| !taken.contains(&port));
        let value = |name: &str| environment.value(name).map(|value| value.to_str().unwrap().to_owned());
        (value("CXONE_PROXY_LISTEN"), value("CXONE_PROXY_ADMIN_LISTEN"), sentences)
    }

    #[test]
    fn the_welcome_names_the_page_and_fits_eighty_columns() {
        let on = |port| Bound::Tcp(vec![std::net::SocketAddr::from(([127, 0, 0, 1], port))]);
        let text = introduction(&on(65534), Some(&on(65535)), "http://127.0.0.1:65533", &[]);
        assert!(text.contains("\nhttp://127.0.0.1:65535/\n"), "{text}");
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
        let without = introduction(&on(65534), None, "http://127.0.0.1:65533", &[]);
        assert!(!without.contains("browser"), "{without}");
        let coloured = coloured(&text);
        assert!(coloured.contains("\x1b[1;36mhttp://127.0.0.1:65535/\x1b[0m\n"), "{coloured:?}");
        assert!(coloured.contains("\x1b[2m# events as they come\x1b[0m\n"), "{coloured:?}");
        let plain =
            ["\x1b[1;36m", "\x1b[2m", "\x1b[0m"].iter().fold(coloured, |text, mark| text.replace(mark, ""));
        assert_eq!(plain, text);
    }

    #[test]
    fn a_default_port_that_is_taken_is_replaced_by_the_next_free_one() {
        assert_eq!(on(&[], &[]), (None, None, vec![]));
        let (listen, admin, sentences) = on(&[8080, 8082], &[]);
        assert_eq!((listen.as_deref(), admin), (Some("127.0.0.1:8083"), None));
        assert_eq!(sentences, ["Port 8080 is taken, so the proxy listens on port 8083."]);
        let (listen, admin, sentences) = on(&[8080, 8081], &[]);
        assert_eq!((listen.as_deref(), admin.as_deref()), (Some("127.0.0.1:8082"), Some("127.0.0.1:8083")));
        assert_eq!(sentences.len(), 2);
    }

    #[test]
    fn an_address_that_was_set_is_left_alone() {
        let set = [("CXONE_PROXY_LISTEN", "127.0.0.1:8080"), ("CXONE_PROXY_ADMIN_LISTEN", "off")];
        let (listen, admin, sentences) = on(&[8080, 8081], &set);
        assert_eq!((listen.as_deref(), admin.as_deref()), (Some("127.0.0.1:8080"), Some("off")));
        assert!(sentences.is_empty());
        let flags = Flags { config: None, values: vec![(&options::LISTEN, "127.0.0.1:8080".into())] };
        let (environment, sentences) = on_free_ports(&flags, Environment::default(), |port| port != 8080);
        assert_eq!((environment.value("CXONE_PROXY_LISTEN"), sentences.len()), (None, 0));
    }

    #[test]
    fn the_introduction_fits_80_columns_and_takes_its_limit_back() {
        let bound = |port| Bound::Tcp(vec![(Ipv4Addr::LOCALHOST, port).into()]);
        let (_, _, moved) = on(&[8080, 8081], &[]);
        let text = introduction(&bound(65000), Some(&bound(65001)), "http://127.0.0.1:65002", &moved);
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
        let limit = text.find("curl -X POST http://127.0.0.1:65002/_region/quota").unwrap();
        assert!(text.find("curl -X DELETE http://127.0.0.1:65002/_region/quota").unwrap() > limit);
        assert!(text.starts_with(&moved[0]) && text.ends_with("Ctrl-C.\n"), "{text}");
    }
}
