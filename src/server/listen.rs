//! Where a listener stands, as the configuration writes it.
//!
//! Pure: nothing is resolved or opened here.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use crate::invalid::Invalid;

/// The longest path of a Unix socket that every platform takes (`sun_path` with its final zero).
const LONGEST_SOCKET_PATH: usize = 103;
/// Only the user of the program may connect.
const DEFAULT_MODE: u32 = 0o600;

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// One address and a TCP port; port 0 lets the system pick one.
    Tcp(SocketAddr),
    /// This TCP port of 127.0.0.1 and of `::1`, as far as the machine has both.
    Localhost(u16),
    /// A Unix socket.
    Unix {
        /// Its place in the file system.
        path: PathBuf,
        /// Who may connect: permission bits of the file.
        mode: u32,
    },
}

impl Listen {
    /// True where other machines can reach it.
    pub fn is_public(&self) -> bool {
        match self {
            Self::Tcp(address) => !address.ip().to_canonical().is_loopback(),
            Self::Localhost(_) | Self::Unix { .. } => false,
        }
    }

    /// True where both cannot be listened on at once. Port 0 never collides.
    pub fn collides_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Tcp(one), Self::Tcp(two)) => one == two && one.port() != 0,
            (Self::Localhost(one), Self::Localhost(two)) => one == two && *one != 0,
            (Self::Tcp(address), Self::Localhost(port)) | (Self::Localhost(port), Self::Tcp(address)) => {
                address.port() == *port && *port != 0 && is_localhost(address.ip())
            }
            (Self::Unix { path: one, .. }, Self::Unix { path: two, .. }) => one == two,
            (Self::Unix { .. }, Self::Tcp(_) | Self::Localhost(_))
            | (Self::Tcp(_) | Self::Localhost(_), Self::Unix { .. }) => false,
        }
    }
}

/// True for the two addresses that `localhost` stands for.
fn is_localhost(ip: IpAddr) -> bool {
    ip == IpAddr::V4(std::net::Ipv4Addr::LOCALHOST) || ip == IpAddr::V6(std::net::Ipv6Addr::LOCALHOST)
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Localhost(port) => write!(f, "localhost:{port}"),
            Self::Unix { path, mode: DEFAULT_MODE } => write!(f, "unix:{}", path.display()),
            Self::Unix { path, mode } => write!(f, "unix:{},mode={mode:04o}", path.display()),
        }
    }
}

impl FromStr for Listen {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if let Some(rest) = text.strip_prefix("unix:") {
            return unix(rest);
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::Tcp(address));
        }
        if text.parse::<IpAddr>().is_ok() {
            return Err(Invalid::because("has no port"));
        }
        let Some((host, port)) = text.rsplit_once(':') else {
            return Err(Invalid::because("has no port"));
        };
        let all_digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let Some(port) = all_digits.then(|| port.parse::<u16>().ok()).flatten() else {
            return Err(Invalid::because("has no port between 0 and 65535"));
        };
        if host.eq_ignore_ascii_case("localhost") {
            return Ok(Self::Localhost(port));
        }
        Err(Invalid::because(
            "does not start with an IP address (names other than `localhost` are not resolved)",
        ))
    }
}

fn unix(rest: &str) -> Result<Listen, Invalid> {
    let (path, mode) = match rest.rsplit_once(",mode=") {
        Some((path, mode)) => (path, parse_mode(mode)?),
        None => (rest, DEFAULT_MODE),
    };
    if path.is_empty() {
        return Err(Invalid::because("has no path after `unix:`"));
    }
    if path.contains('\0') {
        return Err(Invalid::because("has a path with a NUL in it"));
    }
    if path.len() > LONGEST_SOCKET_PATH {
        return Err(Invalid(format!("has a path of more than {LONGEST_SOCKET_PATH} bytes")));
    }
    Ok(Listen::Unix { path: PathBuf::from(path), mode })
}

fn parse_mode(text: &str) -> Result<u32, Invalid> {
    let octal = (3..=4).contains(&text.len()) && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    let mode = octal.then(|| u32::from_str_radix(text, 8).ok()).flatten().filter(|mode| *mode <= 0o777);
    mode.ok_or_else(|| Invalid::because("has no mode of three octal digits after `,mode=`, such as 0660"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_socket_paths_are_read_and_shown_alike() {
        for text in [
            "127.0.0.1:8080",
            "0.0.0.0:0",
            "[::1]:65535",
            "localhost:80",
            "unix:/run/cxone.sock",
            "unix:relative",
            "unix:/run/cxone.sock,mode=0660",
            "unix:/run/a,b,mode=0777",
        ] {
            assert_eq!(text.parse::<Listen>().unwrap().to_string(), text);
        }
        assert_eq!("LocalHost:80".parse::<Listen>().unwrap(), Listen::Localhost(80));
        let with_mode = "unix:/x,mode=660".parse::<Listen>().unwrap();
        assert_eq!(with_mode, Listen::Unix { path: PathBuf::from("/x"), mode: 0o660 });
        let without = "unix:/x".parse::<Listen>().unwrap();
        assert_eq!(without, Listen::Unix { path: PathBuf::from("/x"), mode: 0o600 });
    }

    #[test]
    fn what_is_no_address_is_explained() {
        for (text, why) in [
            ("8080", "has no port"),
            ("127.0.0.1", "has no port"),
            ("::1", "has no port"),
            ("localhost:", "has no port between"),
            ("localhost:65536", "has no port between"),
            ("localhost:+80", "has no port between"),
            (":8080", "does not start with an IP address"),
            ("a.example:80", "does not start with an IP address"),
            ("http://127.0.0.1:80", "does not start with an IP address"),
            ("off", "has no port"),
            ("unix:", "has no path"),
            ("unix:,mode=0600", "has no path"),
            ("unix:/x,mode=", "has no mode"),
            ("unix:/x,mode=rw", "has no mode"),
            ("unix:/x,mode=0888", "has no mode"),
            ("unix:/x,mode=4755", "has no mode"),
            ("unix:/x,mode=00660", "has no mode"),
        ] {
            let reason = text.parse::<Listen>().unwrap_err().0;
            assert!(reason.starts_with(why), "{text}: {reason}");
        }
        assert!(format!("unix:/{}", "x".repeat(LONGEST_SOCKET_PATH)).parse::<Listen>().is_err());
        assert!(format!("unix:/{}", "x".repeat(LONGEST_SOCKET_PATH - 1)).parse::<Listen>().is_ok());
    }

    #[test]
    fn only_loopback_and_sockets_are_private() {
        for (text, is_public) in [
            ("127.8.9.1:1", false),
            ("[::1]:1", false),
            ("[::ffff:127.0.0.1]:1", false),
            ("localhost:1", false),
            ("unix:/x", false),
            ("0.0.0.0:1", true),
            ("[::]:1", true),
            ("10.0.0.1:1", true),
            ("[::ffff:10.0.0.1]:1", true),
        ] {
            assert_eq!(text.parse::<Listen>().unwrap().is_public(), is_public, "{text}");
        }
    }

    #[test]
    fn localhost_collides_with_either_loopback_address() {
        let collide = |one: &str, two: &str| {
            let (one, two): (Listen, Listen) = (one.parse().unwrap(), two.parse().unwrap());
            assert_eq!(one.collides_with(&two), two.collides_with(&one));
            one.collides_with(&two)
        };
        assert!(collide("localhost:80", "localhost:80"));
        assert!(collide("localhost:80", "127.0.0.1:80"));
        assert!(collide("localhost:80", "[::1]:80"));
        assert!(collide("unix:/x", "unix:/x,mode=0660"));
        assert!(!collide("localhost:80", "127.0.0.2:80"));
        assert!(!collide("localhost:80", "127.0.0.1:81"));
        assert!(!collide("localhost:0", "localhost:0"));
        assert!(!collide("127.0.0.1:0", "localhost:0"));
        assert!(!collide("unix:/x", "localhost:80"));
    }
}
