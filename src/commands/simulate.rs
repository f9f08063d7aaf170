//! `cxone-proxy simulate`: a simulated region alone, for load tests and for the tests of other people's
//! applications.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::secret::Secret;
use crate::simulator::{Alpn, Client, Quota, Region, RetryAfterForm, Script, Settings, Tls};

/// What the command line says.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Address and port to listen on; port 0 picks one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8090")]
    pub listen: SocketAddr,

    /// How long an access token is good for, such as `90s` or `1h`
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration)]
    pub lifetime: Duration,

    /// Requests that a client may make in a window of time, such as `100/1s`; more are answered 429
    #[arg(long, value_name = "REQUESTS/DURATION", value_parser = quota)]
    pub quota: Option<Quota>,

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
        let client = Client { id: self.client_id, secret: Secret::new(self.client_secret), scopes };
        Ok(Settings {
            listen: self.listen,
            tls,
            clients: vec![client],
            token_lifetime: self.lifetime,
            quota: self.quota,
            script,
            journal: self.journal,
            ..defaults
        })
    }
}

fn read_script(path: &std::path::Path) -> io::Result<Script> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

/// An integer with `ms`, `s`, `m` or `h`.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err("expected an integer with ms, s, m or h, such as 90s".to_owned()),
    };
    let number: Option<u64> = number.parse().ok();
    let milliseconds = number.and_then(|number| number.checked_mul(factor)).filter(|&number| number > 0);
    milliseconds.map(Duration::from_millis).ok_or_else(|| "expected a number above nought".to_owned())
}

fn quota(text: &str) -> Result<Quota, String> {
    let expected = || "expected requests per duration, such as 100/1s".to_owned();
    let (requests, per) = text.split_once('/').ok_or_else(expected)?;
    let requests = requests.parse().map_err(|_| expected())?;
    Ok(Quota { requests, per: duration(per)?, retry_after: RetryAfterForm::Seconds })
}
