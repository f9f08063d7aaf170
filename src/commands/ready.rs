//! `ready`: does the proxy that runs on this machine hold a token? For health checks where there is no
//! other program that could ask, as in a container that holds this one alone.
//!
//! Asks `/readyz` of the admin listener as configured; what that says is this command's result. Knows
//! nothing of tokens.

use std::{
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    time::timeout,
};

use super::{Ending, complain, misconfigured, signals::on_this_thread};
use crate::config::{self, Environment, Flags, Listen};

/// The answer comes from memory on the same machine; whoever takes longer is not ready.
const PATIENCE: Duration = Duration::from_secs(5);
/// Many times what `/readyz` says.
const LARGEST_ANSWER: u64 = 16 * 1024;
/// Version 1.0, so that the answer's end is the connection's. `localhost` passes every guard.
const REQUEST: &[u8] = b"GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n";

/// Runs the command. Blocks for five seconds at most.
pub fn run(flags: &Flags, environment: &Environment) -> Ending {
    let admin = match config::load_admin(flags, environment) {
        Ok(admin) => admin,
        Err(error) => return misconfigured(&error),
    };
    let Some(admin) = admin else {
        complain("configuration error: admin.listen is `off`, so there is nobody to ask");
        return Ending::Misconfigured;
    };
    let (ending, says) = match on_this_thread(ask(&admin)) {
        Ok(answer) => understood(&answer),
        Err(error) => (Ending::Failed, format!("not ready: {admin} does not answer ({error})")),
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

async fn ask(admin: &Listen) -> io::Result<Vec<u8>> {
    let asking = async {
        match admin {
            Listen::Tcp(address) => talk(TcpStream::connect(on_this_machine(*address)).await?).await,
            Listen::Unix(path) => talk(UnixStream::connect(path).await?).await,
        }
    };
    timeout(PATIENCE, asking).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Where a listener on this address is reached from here: "any address" is none to connect to.
fn on_this_machine(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, address.port())
}

async fn talk(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<Vec<u8>> {
    stream.write_all(REQUEST).await?;
    let mut answer = Vec::new();
    stream.take(LARGEST_ANSWER).read_to_end(&mut answer).await?;
    Ok(answer)
}

/// From a whole answer (RFC 9112, 4) to this command's.
fn understood(answer: &[u8]) -> (Ending, String) {
    let answer = String::from_utf8_lossy(answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer.as_ref(), ""));
    let status = head.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1)).unwrap_or("none");
    let says: String = body.trim().chars().filter(|char| *char == '\n' || !char.is_control()).collect();
    match (status, says) {
        ("200", says) if says.is_empty() => (Ending::Well, "ready".to_owned()),
        ("200", says) => (Ending::Well, says),
        ("503", says) if !says.is_empty() => (Ending::Failed, says),
        (status, _) => (Ending::Failed, format!("not ready: /readyz answers with status {status}")),
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

    /// Answers one request so, and checks what was asked.
    fn answering(mut stream: impl Read + Write, answer: &str) {
        let mut request = vec![0; REQUEST.len()];
        stream.read_exact(&mut request).unwrap();
        assert_eq!(request, REQUEST);
        stream.write_all(answer.as_bytes()).unwrap();
    }

    fn over_tcp(answer: &'static str) -> (u16, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        (port, thread::spawn(move || answering(listener.accept().unwrap().0, answer)))
    }

    #[test]
    fn the_status_decides() {
        for (answer, ending) in [
            ("HTTP/1.1 200 OK\r\n\r\nready\n", Ending::Well),
            ("HTTP/1.0 503 Service Unavailable\r\n\r\nno token\n", Ending::Failed),
            ("HTTP/1.1 404 Not Found\r\n\r\nready\n", Ending::Failed),
            ("SSH-2.0-OpenSSH\r\n", Ending::Failed),
            ("", Ending::Failed),
        ] {
            let (port, answered) = over_tcp(answer);
            assert_eq!(run(&Flags::default(), &environment(&format!("0.0.0.0:{port}"))), ending, "{answer}");
            answered.join().unwrap();
        }
    }

    #[test]
    fn the_reason_is_shown_without_control_characters() {
        let said = |answer: &str| understood(answer.as_bytes()).1;
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
        let answered =
            thread::spawn(move || answering(listener.accept().unwrap().0, "HTTP/1.1 200 OK\r\n\r\nready\n"));
        assert_eq!(run(&Flags::default(), &environment(&format!("unix:{}", path.display()))), Ending::Well);
        answered.join().unwrap();
    }

    #[test]
    fn nobody_there_is_not_ready() {
        let port = {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap().port()
        };
        assert_eq!(run(&Flags::default(), &environment(&format!("127.0.0.1:{port}"))), Ending::Failed);
    }

    #[test]
    fn silence_is_not_readiness() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let error = on_this_thread(ask(&Listen::Tcp(address))).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn only_the_admin_listener_is_judged() {
        let credentials_are_missing_but = |admin: &str| run(&Flags::default(), &environment(admin));
        assert_eq!(credentials_are_missing_but("off"), Ending::Misconfigured);
        assert_eq!(credentials_are_missing_but("nowhere"), Ending::Misconfigured);
        let flags = Flags { config: Some("/no/such/file.toml".into()), values: Vec::new() };
        assert_eq!(run(&flags, &Environment::default()), Ending::Misconfigured);
    }

    #[test]
    fn any_address_is_asked_at_this_machine() {
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
