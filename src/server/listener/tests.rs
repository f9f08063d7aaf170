//! Real sockets and real files.

use std::net::TcpStream;
use std::os::unix::net::{UnixListener, UnixStream};

use super::*;

fn listen(text: &str) -> Listen {
    text.parse().unwrap()
}

fn unix(directory: &Path, suffix: &str) -> Listen {
    listen(&format!("unix:{}{suffix}", directory.join("proxy.sock").display()))
}

#[test]
fn localhost_is_both_loopback_addresses_with_one_port() {
    let listener = bind(&listen("localhost:0")).unwrap();
    let addresses = listener.bound.addresses();
    assert!(addresses.iter().all(|address| address.ip().is_loopback()));
    assert!(addresses.iter().all(|address| address.port() == addresses[0].port()));
    // Whether this machine has `::1` is asked in another way than by the code.
    let has_both = std::net::TcpListener::bind("[::1]:0").is_ok();
    assert_eq!(addresses.len(), if has_both { 2 } else { 1 });
    for address in addresses {
        TcpStream::connect(address).unwrap();
    }
    let texts: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    assert_eq!(listener.bound.to_string(), texts.join(","));
}

#[test]
fn a_port_in_use_is_an_error_that_says_what_to_do() {
    let first = bind(&listen("127.0.0.1:0")).unwrap();
    let again = Listen::Tcp(first.bound.addresses()[0]);
    let error = bind(&again).unwrap_err();
    assert!(matches!(error, ListenError::InUse(_)), "{error:?}");
    let text = error.to_string();
    assert!(text.starts_with(&first.bound.to_string()) && text.contains("choose another address"), "{text}");
    // One of both addresses is enough.
    let error = bind(&Listen::Localhost(first.bound.addresses()[0].port())).unwrap_err();
    assert!(matches!(error, ListenError::InUse(_)), "{error:?}");
    drop(first);
    bind(&again).unwrap();
}

#[test]
fn an_address_that_the_machine_does_not_have_is_named() {
    // RFC 5737: for documentation only.
    let error = bind(&listen("192.0.2.1:0")).unwrap_err();
    assert!(matches!(error, ListenError::NoSuchAddress(_)), "{error:?}");
    assert!(error.to_string().contains("192.0.2.1"), "{error}");
}

#[test]
fn a_socket_has_its_mode_and_is_removed_at_the_end() {
    let files = tempfile::TempDir::new().unwrap();
    for (suffix, mode) in [("", 0o600), (",mode=0660", 0o660)] {
        let listener = bind(&unix(files.path(), suffix)).unwrap();
        let path = files.path().join("proxy.sock");
        assert_eq!(path.metadata().unwrap().mode() & 0o777, mode);
        UnixStream::connect(&path).unwrap();
        drop(listener);
        assert!(!path.exists());
    }
}

#[test]
fn a_socket_that_nobody_serves_is_replaced() {
    let files = tempfile::TempDir::new().unwrap();
    let path = files.path().join("proxy.sock");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "left over");
    let _listener = bind(&unix(files.path(), "")).unwrap();
    UnixStream::connect(&path).unwrap();
}

#[test]
fn a_socket_that_somebody_serves_is_in_use_and_stays() {
    let files = tempfile::TempDir::new().unwrap();
    let path = files.path().join("proxy.sock");
    let first = bind(&unix(files.path(), "")).unwrap();
    let error = bind(&unix(files.path(), "")).unwrap_err();
    assert!(matches!(error, ListenError::InUse(_)), "{error:?}");
    assert!(error.to_string().contains("proxy.sock is in use"), "{error}");
    UnixStream::connect(&path).unwrap();
    drop(first);
}

#[test]
fn the_path_of_a_successor_is_not_removed() {
    let files = tempfile::TempDir::new().unwrap();
    let path = files.path().join("proxy.sock");
    let first = bind(&unix(files.path(), "")).unwrap();
    std::fs::remove_file(&path).unwrap();
    let _second = bind(&unix(files.path(), "")).unwrap();
    drop(first);
    UnixStream::connect(&path).unwrap();
}

#[test]
fn a_missing_directory_and_a_file_in_the_way_are_named() {
    let files = tempfile::TempDir::new().unwrap();
    let missing = files.path().join("run");
    let error = bind(&unix(&missing, "")).unwrap_err();
    assert!(matches!(error, ListenError::NoDirectory(_)), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(&missing.display().to_string()) && text.contains("create it"), "{text}");

    std::fs::write(files.path().join("proxy.sock"), "precious").unwrap();
    let error = bind(&unix(files.path(), "")).unwrap_err();
    assert!(matches!(error, ListenError::NotASocket(_)), "{error:?}");
    assert_eq!(std::fs::read_to_string(files.path().join("proxy.sock")).unwrap(), "precious");
}

/// Linux hands the listener's options on, so that no connection costs system calls for them.
#[cfg(target_os = "linux")]
#[test]
fn accepted_connections_have_the_listeners_options() {
    let listener = bind(&listen("127.0.0.1:0")).unwrap();
    let _client = TcpStream::connect(listener.bound.addresses()[0]).unwrap();
    let (accepted, _) = listener.sockets[0].accept().unwrap();
    assert!(accepted.tcp_nodelay().unwrap() && accepted.keepalive().unwrap());
    assert_eq!(accepted.tcp_keepalive_time().unwrap().as_secs(), 60);
    assert_eq!(accepted.tcp_notsent_lowat().unwrap(), 128 * 1024);
}
