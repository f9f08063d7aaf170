//! Section 11: what the process says to systemd, and sockets that it opens.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::support::{
    Launch, RawConnection, Server, Setup, eventually, get, in_time, ok, serve, token_response,
};

const ME: &str = "/api/v2/users/me";
const CLIENTS: usize = 24;

/// How often the process is replaced; more by hand.
fn restarts() -> usize {
    std::env::var("RESTARTS").ok().and_then(|text| text.parse().ok()).unwrap_or(6)
}

/// The service manager's end of `NOTIFY_SOCKET`.
struct Manager {
    socket: UnixDatagram,
    files: TempDir,
}

impl Manager {
    fn new() -> Self {
        let files = TempDir::new().unwrap();
        let socket = UnixDatagram::bind(files.path().join("notify")).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self { socket, files }
    }

    fn on(&self, launch: Launch) -> Launch {
        launch.variable("NOTIFY_SOCKET", self.files.path().join("notify"))
    }

    /// The next message that has this line.
    async fn told(&self, line: &str) -> String {
        eventually(line, async || {
            let mut buffer = [0; 4096];
            let length = self.socket.recv(&mut buffer).ok()?;
            let text = String::from_utf8(buffer[..length].to_vec()).unwrap();
            text.lines().any(|own| own == line).then_some(text)
        })
        .await
    }
}

#[tokio::test]
async fn systemd_hears_of_every_phase() {
    let manager = Manager::new();
    let file = manager.files.path().join("proxy.toml");
    std::fs::write(&file, "").unwrap();
    let launch = |launch: Launch| manager.on(launch).flag("config", &file).flag("watch", "false");
    let mut setup = Setup::launched(launch).await;
    let ready = manager.told("READY=1").await;
    assert!(ready.contains(&format!("STATUS=listening on {}", setup.proxy.proxy_address())), "{ready}");
    setup.proxy.signal(Signal::HUP);
    let reloading = manager.told("RELOADING=1").await;
    assert!(reloading.contains("\nMONOTONIC_USEC="), "{reloading}");
    manager.told("READY=1").await;
    std::fs::write(&file, "oops").unwrap();
    setup.proxy.signal(Signal::HUP);
    manager.told("RELOADING=1").await;
    assert!(manager.told("READY=1").await.contains("STATUS=not reloaded"));
    setup.proxy.signal(Signal::TERM);
    manager.told("STOPPING=1").await;
    assert_eq!(setup.proxy.ended().await.code(), Some(0));
}

#[tokio::test]
async fn the_watchdog_is_kept_quiet() {
    let manager = Manager::new();
    let setup = Setup::launched(|launch| manager.on(launch).variable("WATCHDOG_USEC", "200000")).await;
    for _ in 0..5 {
        in_time("a sign of life", manager.told("WATCHDOG=1")).await;
    }
    drop(setup);
}

/// A socket that the processes share. They find it under the number that it has here.
fn shared(address: &str) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(address).unwrap();
    fcntl_setfd(&listener, FdFlags::empty()).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn passed(launch: Launch, listener: &TcpListener) -> Launch {
    launch.variable("LISTEN_FDS", "1").variable("LISTEN_FDS_FIRST_FD", listener.as_raw_fd().to_string())
}

#[tokio::test]
async fn a_socket_that_was_opened_before_is_used() {
    let (listener, address) = shared("127.0.0.1:0");
    // Before there is a process, clients wait and are not refused.
    let mut early = RawConnection::to(address).await;
    early.send(get(ME)).await;
    let setup = Setup::launched(|launch| passed(launch, &listener)).await;
    assert_eq!(setup.proxy.proxy_address(), address);
    assert_eq!(in_time("a response", early.response()).await.unwrap().status(), 200);
    assert_ne!(setup.proxy.admin_address(), address);
    assert_eq!(setup.get(ME).await.status(), 200);
}

#[tokio::test]
async fn sockets_are_for_those_that_were_meant() {
    let (listener, _) = shared("127.0.0.1:0");
    // For another process.
    let setup = Setup::launched(|launch| passed(launch, &listener).variable("LISTEN_PID", "1")).await;
    assert_ne!(setup.proxy.proxy_address(), listener.local_addr().unwrap());
    // The admin pages take one by its name only.
    let (status, _, complaint) = passed(serve("http://127.0.0.1:9"), &listener)
        .variable("LISTEN_FDNAMES", "admin")
        .flag("admin-listen", "off")
        .flag("listen", "127.0.0.1:0")
        .variable("LISTEN_FDS", "2")
        .run()
        .await;
    assert!(!status.success());
    assert!(complaint.contains("LISTEN_FDS"), "{complaint}");
    let named =
        passed(serve("http://127.0.0.1:9"), &listener).variable("LISTEN_FDNAMES", "admin").listening().await;
    assert_eq!(named.admin_address(), listener.local_addr().unwrap());
}

#[tokio::test]
async fn a_public_socket_needs_allowed_hosts() {
    let (listener, _) = shared("0.0.0.0:0");
    let (status, _, complaint) = passed(serve("http://127.0.0.1:9"), &listener).run().await;
    assert_eq!(status.code(), Some(2));
    assert!(complaint.contains("guard.allowed_hosts"), "{complaint}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_follow_each_other_on_one_socket_fail_no_request() {
    let upstream = Server::start(|request| match request.target() {
        "/token" => token_response(r#"{"access_token":"abc","token_type":"Bearer","expires_in":3600}"#),
        _ => ok("", "served"),
    })
    .await;
    let (listener, address) = shared("127.0.0.1:0");
    let launch = passed(serve(&upstream.base_url()), &listener)
        .variable("CXONE_TOKEN_URL", format!("{}/token", upstream.base_url()));
    let (stop, served) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(ask(address, stop.clone(), served.clone()));
    }
    for restart in 0..restarts() {
        // With a gap between the processes: what comes then waits in the socket.
        let mut process = launch.listening().await;
        let before = served.load(Ordering::Relaxed);
        eventually("load", async || (served.load(Ordering::Relaxed) > before + 200).then_some(())).await;
        process.signal(Signal::TERM);
        assert_eq!(process.ended().await.code(), Some(0), "restart {restart}");
    }
    stop.store(true, Ordering::Relaxed);
    let last = launch.listening().await;
    in_time("the clients", clients.join_all()).await;
    drop(last);
}

/// Asks on one connection for as long as the proxy keeps it, then on the next one. Nothing may be refused or lost.
async fn ask(address: SocketAddr, stop: Arc<AtomicBool>, served: Arc<AtomicU64>) {
    while !stop.load(Ordering::Relaxed) {
        let mut client = RawConnection::to(address).await;
        while !stop.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(2)).await;
            client.send(get("/x")).await;
            let response = client.response().await.unwrap();
            assert_eq!(response.status(), 200, "{}", response.text());
            served.fetch_add(1, Ordering::Relaxed);
            if response.only("connection") == Some("close") {
                break;
            }
        }
    }
}
