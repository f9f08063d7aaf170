//! Where a listener stands.
//!
//! PURE: nothing is resolved or opened here.

use crate::invalid::Invalid;
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    str::FromStr,
};

/// The longest path of a Unix socket that every platform takes (`sun_path` with its final nought).
const LONGEST_SOCKET_PATH: usize = 103;

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// A TCP port; 0 lets the system pick one.
    Tcp(SocketAddr),
    /// A Unix socket at this path.
    Unix(PathBuf),
}

impl Listen {
    /// True where other machines can reach it.
    pub fn is_public(&self) -> bool {
        match self {
            Self::Tcp(address) => !address.ip().to_canonical().is_loopback(),
            Self::Unix(_) => false,
        }
    }

    /// True where both cannot be listened on at once. Port 0 never collides.
    pub fn collides_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Tcp(one), Self::Tcp(two)) => one == two && one.port() != 0,
            (Self::Unix(one), Self::Unix(two)) => one == two,
            (Self::Tcp(_), Self::Unix(_)) | (Self::Unix(_), Self::Tcp(_)) => false,
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for Listen {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if let Some(path) = text.strip_prefix("unix:") {
            return socket_path(path).map(Self::Unix);
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
            return Ok(Self::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port))));
        }
        Err(Invalid::because(
            "does not start with an IP address (names other than `localhost` are not resolved)",
        ))
    }
}

fn socket_path(path: &str) -> Result<PathBuf, Invalid> {
    if path.is_empty() {
        return Err(Invalid::because("has no path after `unix:`"));
    }
    if path.contains('\0') {
        return Err(Invalid::because("has a path with a NUL in it"));
    }
    if path.len() > LONGEST_SOCKET_PATH {
        return Err(Invalid(format!("has a path of more than {LONGEST_SOCKET_PATH} bytes")));
    }
    Ok(PathBuf::from(path))
}

/// Reads a listener's address, or `off` as `None`.
pub(super) fn listen_or_off(text: &str) -> Result<Option<Listen>, Invalid> {
    if text == "off" { Ok(None) } else { text.parse().map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_socket_paths_are_read_and_shown_alike() {
        for text in ["127.0.0.1:8080", "0.0.0.0:0", "[::1]:65535", "unix:/run/cxone.sock", "unix:relative"] {
            assert_eq!(text.parse::<Listen>().unwrap().to_string(), text);
        }
        assert_eq!("LocalHost:80".parse::<Listen>().unwrap().to_string(), "127.0.0.1:80");
        assert_eq!(listen_or_off("off"), Ok(None));
        assert_eq!(listen_or_off("127.0.0.1:1").unwrap().unwrap().to_string(), "127.0.0.1:1");
    }

    #[test]
    fn what_is_no_address_is_said() {
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
            ("unix:/x", false),
            ("0.0.0.0:1", true),
            ("[::]:1", true),
            ("10.0.0.1:1", true),
            ("[::ffff:10.0.0.1]:1", true),
        ] {
            assert_eq!(text.parse::<Listen>().unwrap().is_public(), is_public, "{text}");
        }
    }
}
