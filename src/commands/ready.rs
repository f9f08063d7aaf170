//! `ready`: asks the proxy that runs on this machine whether it is ready. For health checks in a place
//! without another program that could ask, such as a container that holds this one alone.
//!
//! Asks `/readyz` or `/livez` of the admin listener as configured; the answer is this command's result.

use std::{
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    time::{sleep, timeout},
};

use super::{
    complaint::{complain, misconfigured},
    ending::Ending,
};
use crate::config::{self, Environment, Flags};
use crate::run::on_this_thread;
use crate::server::Listen;

/// The answer comes from memory on the same machine; a proxy that takes longer is not ready.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two questions of `--wait`: short beside the start of an application, long beside an answer.
const PAUSE: Duration = Duration::from_millis(250);
/// Many times the length of what `/readyz` says.
const LARGEST_ANSWER: u64 = 16 * 1024;

/// The options of `ready` beside the configuration's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Whether to ask only if the process runs.
    pub live: bool,
    /// How long to ask again until the answer is yes.
    pub wait: Option<Duration>,
}

/// Runs the command. Blocks for five seconds at most, or as long as `--wait` says and five seconds more.
pub fn run(flags: &Flags, environment: &Environment, options: Options) -> Ending {
    let admin = match config::load_admin(flags, environment) {
        Ok(admin) => admin,
        Err(error) => return misconfigured(&error),
    };
    let Some(admin) = admin else {
        complain(
            "configuration error: admin.listen is `off`, so there is no listener to ask; accepted: set \
             CXONE_PROXY_ADMIN_LISTEN to the address where the proxy serves its admin pages",
        );
        return Ending::Misconfigured;
    };
    let (ending, says) = match on_this_thread(async { Ok(ask_until_yes(&admin, options).await) }) {
        Ok(answer) => answer,
        Err(error) => (Ending::Failed, format!("the program cannot be set up: {error}")),
    };
    let mut out = io::stdout().lock();
    match writeln!(out, "{says}").and_then(|()| out.flush()) {
        Ok(()) => ending,
        Err(error) => {
            complain(&format!("the result cannot be written to standard output: {error}"));
            Ending::Failed
        }
    }
}

/// The first yes, or the last answer before the time is over.
async fn ask_until_yes(admin: &Listen, options: Options) -> (Ending, String) {
    let mut last = ask(admin, options.live).await;
    if let Some(wait) = options.wait {
        let again = async {
            while last.0 != Ending::Well {
                sleep(PAUSE).await;
                last = ask(admin, options.live).await;
            }
        };
        let _ = timeout(wait, again).await;
    }
    last
}

async fn ask(admin: &Listen, live: bool) -> (Ending, String) {
    let page = if live { "/livez" } else { "/readyz" };
    let asking = async {
        match admin {
            Listen::Tcp(address) => talk(TcpStream::connect(on_this_machine(*address)).await?, page).await,
            Listen::Localhost(port) => {
                let both = [(Ipv4Addr::LOCALHOST, *port).into(), (Ipv6Addr::LOCALHOST, *port).into()];
                talk(TcpStream::connect::<&[SocketAddr]>(&both).await?, page).await
            }
            Listen::Unix { path, .. } => talk(UnixStream::connect(path).await?, page).await,
        }
    };
    let answer = timeout(PATIENCE, asking).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    match answer {
        Ok(answer) => understood(&answer, page),
        Err(error) => (Ending::Failed, format!("not ready: {}", unanswered(admin, &error))),
    }
}

fn unanswered(admin: &Listen, error: &io::Error) -> String {
    if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) {
        format!(
            "no proxy listens on {admin}: start it, or set CXONE_PROXY_ADMIN_LISTEN to the address of its admin pages"
        )
    } else if error.kind() == io::ErrorKind::TimedOut {
        format!("{admin} does not answer within {} s", PATIENCE.as_secs())
    } else {
        format!("{admin} does not answer ({error})")
    }
}

/// The address to connect to for a listener on this one: an unspecified address cannot be connected to.
fn on_this_machine(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Version 1.0, so that the response ends with the connection. `localhost` passes every guard.
fn request(page: &str) -> String {
    format!("GET {page} HTTP/1.0\r\nHost: localhost\r\n\r\n")
}

async fn talk(mut stream: impl AsyncRead + AsyncWrite + Unpin, page: &str) -> io::Result<Vec<u8>> {
    stream.write_all(request(page).as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(LARGEST_ANSWER).read_to_end(&mut answer).await?;
    Ok(answer)
}

/// From a whole response (RFC 9112, 4) to this command's result.
fn understood(answer: &[u8], page: &str) -> (Ending, String) {
    let answer = String::from_utf8_lossy(answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer.as_ref(), ""));
    let status = head.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1)).unwrap_or("none");
    let says: String = body.trim().chars().filter(|char| *char == '\n' || !char.is_control()).collect();
    match (status, says) {
        ("200", says) if says.is_empty() => (Ending::Well, "ready".to_owned()),
        ("200", says) => (Ending::Well, says),
        ("503", says) if !says.is_empty() => (Ending::Failed, says),
        (status, _) => (Ending::Failed, format!("not ready: {page} answers with status {status}")),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::Read,
        net::TcpListener,
        os::unix::net::UnixListener,
        thread::{self, JoinHandle},
    };

    use super::*;

    fn environment(admin: &str) -> Environment {
        [("CXONE_PROXY_ADMIN_LISTEN", admin.to_owned())].into_iter().collect()
    }

    const READY: Options = Options { live: false, wait: None };

    /// Sends one response, after the request that is expected.
    fn respond(mut stream: impl Read + Write, page: &str, answer: &str) {
        let mut received = vec![0; request(page).len()];
        stream.read_exact(&mut received).unwrap();
        assert_eq!(received, request(page).as_bytes());
        stream.write_all(answer.as_bytes()).unwrap();
    }

    /// Sends each of these responses on a connection of its own.
    fn over_tcp(page: &'static str, answers: &'static [&'static str]) -> (u16, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let responding = move || {
            for answer in answers {
                respond(listener.accept().unwrap().0, page, answer);
            }
        };
        (port, thread::spawn(responding))
    }

    #[test]
    fn the_status_decides() {
        for (answer, ending) in [
            (&["HTTP/1.1 200 OK\r\n\r\nready\n"], Ending::Well),
            (&["HTTP/1.0 503 Service Unavailable\r\n\r\nno token\n"], Ending::Failed),
            (&["HTTP/1.1 404 Not Found\r\n\r\nready\n"], Ending::Failed),
            (&["SSH-2.0-OpenSSH\r\n"], Ending::Failed),
            (&[""], Ending::Failed),
        ] {
            let (port, responding) = over_tcp("/readyz", answer);
            let environment = environment(&format!("0.0.0.0:{port}"));
            assert_eq!(run(&Flags::default(), &environment, READY), ending, "{answer:?}");
            responding.join().unwrap();
        }
    }

    #[test]
    fn a_process_that_runs_is_live() {
        let (port, responding) = over_tcp("/livez", &["HTTP/1.1 200 OK\r\n\r\nlive\n"]);
        let options = Options { live: true, ..READY };
        let environment = environment(&format!("localhost:{port}"));
        assert_eq!(run(&Flags::default(), &environment, options), Ending::Well);
        responding.join().unwrap();
    }

    #[test]
    fn with_time_to_wait_it_asks_until_the_answer_is_yes() {
        let answers = &["HTTP/1.1 503 x\r\n\r\nno token\n", "", "HTTP/1.1 200 OK\r\n\r\nready\n"];
        let (port, responding) = over_tcp("/readyz", answers);
        let options = Options { wait: Some(Duration::from_mins(1)), ..READY };
        let environment = environment(&format!("127.0.0.1:{port}"));
        assert_eq!(run(&Flags::default(), &environment, options), Ending::Well);
        responding.join().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_ends() {
        let admin = Listen::Unix { path: "/nowhere/at/all.sock".into(), mode: 0o600 };
        let started = tokio::time::Instant::now();
        let options = Options { wait: Some(Duration::from_secs(30)), ..READY };
        let (ending, says) = ask_until_yes(&admin, options).await;
        assert_eq!((ending, started.elapsed()), (Ending::Failed, Duration::from_secs(30)));
        assert!(says.starts_with("not ready: no proxy listens on unix:/nowhere/at/all.sock: "), "{says}");
    }

    #[test]
    fn the_reason_is_shown_without_control_characters() {
        let said = |answer: &str| understood(answer.as_bytes(), "/readyz").1;
        assert_eq!(
            said("HTTP/1.1 503 x\r\nA: b\r\n\r\nno token: \u{1b}[31mrefused\n"),
            "no token: [31mrefused"
        );
        assert_eq!(said("HTTP/1.1 200 OK\r\n\r\n"), "ready");
        assert_eq!(said("HTTP/1.1 503 x\r\n\r\n"), "not ready: /readyz answers with status 503");
        assert_eq!(said("nonsense"), "not ready: /readyz answers with status none");
    }

    #[test]
    fn a_unix_socket_is_asked_as_well() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let responding = thread::spawn(move || {
            respond(listener.accept().unwrap().0, "/readyz", "HTTP/1.1 200 OK\r\n\r\nready\n");
        });
        let environment = environment(&format!("unix:{}", path.display()));
        assert_eq!(run(&Flags::default(), &environment, READY), Ending::Well);
        responding.join().unwrap();
    }

    #[test]
    fn without_a_listener_it_is_not_ready() {
        let port = {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap().port()
        };
        let environment = environment(&format!("127.0.0.1:{port}"));
        assert_eq!(run(&Flags::default(), &environment, READY), Ending::Failed);
    }

    #[test]
    fn silence_is_not_readiness() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (ending, says) = on_this_thread(async { Ok(ask(&Listen::Tcp(address), false).await) }).unwrap();
        let due = format!("not ready: {address} does not answer within 5 s");
        assert_eq!((ending, says), (Ending::Failed, due));
    }

    #[test]
    fn only_the_admin_listener_is_validated() {
        let asked = |admin: &str| run(&Flags::default(), &environment(admin), READY);
        assert_eq!(asked("off"), Ending::Misconfigured);
        assert_eq!(asked("nowhere"), Ending::Misconfigured);
        let flags = Flags { config: Some("/no/such/file.toml".into()), values: Vec::new() };
        assert_eq!(run(&flags, &Environment::default(), READY), Ending::Misconfigured);
    }

    #[test]
    fn an_unspecified_address_is_asked_on_this_machine() {
        for (listen, asked) in [
            ("0.0.0.0:1", "127.0.0.1:1"),
            ("[::]:1", "[::1]:1"),
            ("10.0.0.7:1", "10.0.0.7:1"),
            ("127.0.0.2:1", "127.0.0.2:1"),
        ] {
            assert_eq!(on_this_machine(listen.parse().unwrap()), asked.parse().unwrap());
        }
    }
}
