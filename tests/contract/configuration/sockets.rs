//! Listening on a Unix socket.

use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::net::UnixStream;

use crate::support::{RawConnection, Setup, get, in_time, serve};

async fn setup(path: &Path) -> Setup {
    Setup::launched(|launch| launch.flag("listen", format!("unix:{}", path.display()))).await
}

async fn connect(path: &Path) -> RawConnection {
    RawConnection::over(in_time("a connection", UnixStream::connect(path)).await.unwrap())
}

#[tokio::test]
async fn a_unix_socket_is_for_its_owner_and_goes_with_the_program() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("proxy.sock");
    let mut setup = setup(&path).await;
    let metadata = std::fs::metadata(&path).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    let event = setup.proxy.event("listening").await;
    assert_eq!(event["proxy"], format!("unix:{}", path.display()));

    let mut client = connect(&path).await;
    for _ in 0..2 {
        assert_eq!(client.fetch(get("/api/v2/users/me")).await.status(), 200);
    }
    setup.proxy.signal(Signal::TERM);
    assert_eq!(setup.proxy.ended().await.code(), Some(0));
    assert!(!path.exists());
}

#[tokio::test]
async fn a_unix_socket_has_the_mode_that_is_configured() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("proxy.sock");
    let listen = format!("unix:{},mode=0660", path.display());
    let setup = Setup::launched(|launch| launch.flag("listen", listen)).await;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    assert_eq!(connect(&path).await.fetch(get("/api/v2/users/me")).await.status(), 200);
    drop(setup);
}

#[tokio::test]
async fn a_left_over_socket_is_replaced() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("proxy.sock");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let _stage = setup(&path).await;
    assert_eq!(connect(&path).await.fetch(get("/api/v2/users/me")).await.status(), 200);
}

#[tokio::test]
async fn a_socket_that_is_served_is_left_alone() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("proxy.sock");
    let first = setup(&path).await;
    let second = serve("http://127.0.0.1:9").flag("listen", format!("unix:{}", path.display()));
    let (status, _, log) = second.run().await;
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("in use") && log.contains(path.to_str().unwrap()), "{log}");
    assert_eq!(connect(&path).await.fetch(get("/api/v2/users/me")).await.status(), 200);
    drop(first);
}

#[tokio::test]
async fn what_is_no_socket_is_left_alone() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("precious");
    std::fs::write(&path, "precious").unwrap();
    let launch = serve("http://127.0.0.1:9").flag("listen", format!("unix:{}", path.display()));
    let (status, _, log) = launch.run().await;
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("not a socket"), "{log}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}
