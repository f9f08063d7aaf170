//! `cxone-proxy simulate`: a simulated region alone, for load tests and for the tests of other people's
//! applications.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use cxone_simulator::{AccessKey, Alpn, Client, Region, Script, Secret, Settings, Tenant, Tls};

use super::complaint::{complain, misconfigured};
use super::ending::Ending;
use super::region_limits::Limits;
use super::signals;
use crate::config::{self, Environment, Flags};
use crate::log;
use crate::run::on_this_thread;

/// What the command line says.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Address and port to listen on; port 0 picks one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8090")]
    pub listen: SocketAddr,

    /// How long an access token is good for, such as `90s` or `1h`
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration)]
    pub lifetime: Duration,

    /// How much the region takes
    #[command(flatten)]
    pub limits: Limits,

    /// JSON file with the faults to start with; `PUT /_region/script` replaces them
    #[arg(long, value_name = "FILE")]
    pub script: Option<PathBuf>,

    /// Serve HTTP/1.1 and HTTP/2 over TLS with a certificate authority of its own
    #[arg(long)]
    pub tls: bool,

    /// Further names or addresses for the certificate
    #[arg(long, value_name = "NAME", requires = "tls")]
    pub tls_name: Vec<String>,

    /// Write the certificate authority to this file
    #[arg(long, value_name = "FILE", requires = "tls")]
    pub ca_out: Option<PathBuf>,

    /// Client identifier that is accepted
    #[arg(long, value_name = "ID", default_value = "demo-client")]
    pub client_id: String,

    /// Its secret: made up for tests, so it may be seen
    #[arg(long, value_name = "SECRET", default_value = "demo-secret")]
    pub client_secret: String,

    /// Access key identifier that is accepted, beside a client or alone
    #[arg(long, value_name = "ID", default_value = "demo-access-key")]
    pub access_key_id: String,

    /// Its secret: made up for tests, so it may be seen
    #[arg(long, value_name = "SECRET", default_value = "demo-access-key-secret")]
    pub access_key_secret: String,

    /// Tenant that tokens are for, and that discovery knows
    #[arg(long, value_name = "ID", default_value = "11e85da0-0000-4000-8000-0242ac110003")]
    pub tenant_id: String,

    /// Area that the tenant lives in
    #[arg(long, value_name = "AREA", default_value = "na1")]
    pub area: String,

    /// How many exchanges `GET /_region/journal` remembers; 0 for none
    #[arg(long, value_name = "COUNT", default_value_t = 4096)]
    pub journal: usize,
}

/// Why the command could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// The script is missing, unreadable or not a script.
    #[error("cannot use the script {}", path.display())]
    Script {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: io::Error,
    },
    /// The region could not be started.
    #[error("cannot start a simulated region on {listen}")]
    Start {
        /// The address asked for.
        listen: SocketAddr,
        /// What stood in the way.
        #[source]
        source: io::Error,
    },
    /// The certificate authority could not be written.
    #[error("cannot write the certificate authority to {}", path.display())]
    CaOut {
        /// The file.
        path: PathBuf,
        /// What stood in the way.
        #[source]
        source: io::Error,
    },
}

impl SimulateError {
    /// True where the command line is at fault rather than the machine (exit status 2 rather than 1).
    pub fn is_configuration(&self) -> bool {
        matches!(self, Self::Script { .. })
    }
}

/// The command: a region until a signal ends it.
pub(super) fn command(options: Options, flags: &Flags, environment: &Environment) -> Ending {
    // A log that has been started before, by a program that embeds this one, is as good.
    let _log = match config::load_log(flags, environment) {
        Ok(settings) => log::start(&settings),
        Err(error) => return misconfigured(&error),
    };
    let serving = async {
        let mut signals = signals::Signals::new()?;
        let ended = async {
            signals.next().await;
        };
        Ok(run(options, ended).await)
    };
    match on_this_thread(serving) {
        Ok(Ok(())) => Ending::Well,
        Ok(Err(error)) => {
            complain(&log::causes(&error));
            if error.is_configuration() { Ending::Misconfigured } else { Ending::Failed }
        }
        Err(error) => {
            complain(&format!("the program cannot be set up: {error}"));
            Ending::Failed
        }
    }
}

/// Runs a region until `ended` resolves. Logs `listening` with its address as the field `region`.
///
/// Cancelled, it drops the region at once.
pub async fn run(options: Options, ended: impl Future<Output = ()>) -> Result<(), SimulateError> {
    let listen = options.listen;
    let ca_out = options.ca_out.clone();
    let region = Region::start(options.into_settings()?)
        .await
        .map_err(|source| SimulateError::Start { listen, source })?;
    if let (Some(path), Some(pem)) = (ca_out, region.ca_pem()) {
        fs::write(&path, pem).map_err(|source| SimulateError::CaOut { path, source })?;
    }
    tracing::info!(region = %region.address(), base_url = region.base_url(), "listening");
    ended.await;
    region.stop().await;
    Ok(())
}

impl Options {
    /// The settings that these options ask for.
    pub fn into_settings(self) -> Result<Settings, SimulateError> {
        let script = match self.script {
            None => Script::default(),
            Some(path) => match read_script(&path) {
                Ok(script) => script,
                Err(source) => return Err(SimulateError::Script { path, source }),
            },
        };
        let tls = self.tls.then(|| {
            let mut tls = Tls { alpn: vec![Alpn::Http2, Alpn::Http1], ..Tls::default() };
            tls.names.extend(self.tls_name);
            tls
        });
        let defaults = Settings::default();
        let scopes = defaults.clients.first().map(|client| client.scopes.clone()).unwrap_or_default();
        let (secret, key_secret) = (Secret::new(self.client_secret), Secret::new(self.access_key_secret));
        let key =
            AccessKey { id: self.access_key_id, secret: key_secret, scopes: scopes.clone(), tenant: None };
        let client = Client { id: self.client_id, secret, scopes, tenant: None };
        let mut settings = Settings {
            listen: self.listen,
            tls,
            clients: vec![client],
            access_keys: vec![key],
            tenants: vec![Tenant { id: self.tenant_id, area: self.area }],
            token_lifetime: self.lifetime,
            script,
            journal: self.journal,
            ..defaults
        };
        self.limits.apply(&mut settings);
        Ok(settings)
    }
}

fn read_script(path: &std::path::Path) -> io::Result<Script> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

fn duration(text: &str) -> Result<Duration, String> {
    config::positive_duration(text)
        .map_err(|why| format!("it {why}; accepted: an integer with ms, s, m or h, such as 90s"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use clap::Parser as _;
    use cxone_simulator::Quota;
    use serde_json::Value;
    use tokio::net::TcpStream;
    use tokio::sync::oneshot;
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn options(line: &str) -> Result<Options, clap::Error> {
        Line::try_parse_from(format!("simulate {line}").split_whitespace()).map(|line| line.options)
    }

    #[test]
    fn turns_the_command_line_into_settings() {
        let line = "--listen [::1]:0 --lifetime 90s --quota 5/250ms --tls --tls-name simulator \
                    --client-id me --client-secret mine --access-key-id key --access-key-secret its \
                    --tenant-id t-1 --area eu1 --journal 0";
        let settings = options(line).unwrap().into_settings().unwrap();
        assert_eq!(settings.listen, "[::1]:0".parse().unwrap());
        assert_eq!(settings.token_lifetime, Duration::from_secs(90));
        assert_eq!(settings.quotas, [Quota::new(5, Duration::from_millis(250))]);
        assert!(settings.tls.unwrap().names.contains(&"simulator".to_owned()));
        assert_eq!(settings.clients[0].id, "me");
        assert_eq!(settings.clients[0].secret.reveal(), "mine");
        assert_eq!(settings.access_keys[0].id, "key");
        assert_eq!(settings.access_keys[0].secret.reveal(), "its");
        assert_eq!(settings.tenants, [Tenant::new("t-1", "eu1")]);
        assert_eq!(settings.journal, 0);
        assert!(options("").unwrap().into_settings().unwrap().tls.is_none());
    }

    #[test]
    fn refuses_values_of_another_form() {
        let bad = [
            "--lifetime 90",
            "--lifetime 0s",
            "--lifetime 99999999999999999h",
            "--quota 5",
            "--quota x/1s",
            "--quota 5/1",
            "--ca-out ca.pem",
            "--listen nowhere",
        ];
        for line in bad {
            let error = options(line).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn reads_the_script_or_says_why_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("script.json");
        let line = format!("--script {}", path.display());
        let error = options(&line).unwrap().into_settings().unwrap_err();
        assert!(error.is_configuration());
        assert!(error.to_string().contains("script.json"), "{error}");
        fs::write(&path, r#"{ "faults": [{ "then": { "delay": { "ms": 5 } } }] }"#).unwrap();
        assert_eq!(options(&line).unwrap().into_settings().unwrap().script.faults.len(), 1);
        fs::write(&path, r#"{ "faults": [{ "then": { "delay": { "minutes": 5 } } }] }"#).unwrap();
        assert!(options(&line).unwrap().into_settings().is_err());
    }

    /// Where a test's log goes.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Log {
        /// The first event with this message.
        fn event(&self, message: &str) -> Option<Value> {
            let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
            let mut events = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            events.find(|event| event["message"] == message)
        }
    }

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Log {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    #[tokio::test]
    async fn listens_until_it_has_to_end() {
        let log = Log::default();
        let subscriber =
            tracing_subscriber::fmt().json().flatten_event(true).with_writer(log.clone()).finish();
        let _guard = tracing::subscriber::set_default(subscriber);
        let directory = tempfile::tempdir().unwrap();
        let ca = directory.path().join("ca.pem");
        let options = options(&format!("--listen 127.0.0.1:0 --tls --ca-out {}", ca.display())).unwrap();
        let (end, ended) = oneshot::channel::<()>();
        let running = run(options, async {
            let _ = ended.await;
        });
        let client = async {
            let event = loop {
                match log.event("listening") {
                    Some(event) => break event,
                    None => tokio::time::sleep(Duration::from_millis(2)).await,
                }
            };
            let address: SocketAddr = event["region"].as_str().unwrap().parse().unwrap();
            assert_eq!(event["base_url"], format!("https://{address}"));
            TcpStream::connect(address).await.unwrap();
            assert!(fs::read_to_string(&ca).unwrap().starts_with("-----BEGIN CERTIFICATE-----"));
            end.send(()).unwrap();
            address
        };
        let (result, address) = tokio::join!(running, client);
        result.unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }

    #[tokio::test]
    async fn says_which_address_is_taken() {
        let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let options = options(&format!("--listen {}", taken.local_addr().unwrap())).unwrap();
        let error = run(options, std::future::pending()).await.unwrap_err();
        assert!(!error.is_configuration());
        assert!(error.to_string().contains(&taken.local_addr().unwrap().to_string()), "{error}");
    }
}
