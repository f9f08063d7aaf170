//! What the upstream says, ready to be written.

use std::time::Duration;

use memchr::memmem::Finder;

/// The only token that it gives out and accepts.
pub(crate) const TOKEN: &str =
    "bench-token-0123456789abcdefghijklmnopqrstuvwxyz-bench-token-0123456789abcdefghijklmnopqrstuvwxyz";

/// One piece of a long answer: four TLS records.
pub(crate) static PIECE: [u8; 64 * 1024] = [b'x'; 64 * 1024];

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// A token.
    Token,
    /// Something, without the right bearer.
    Refused,
    /// 2 bytes.
    Little,
    /// 1 KiB.
    Kilobyte,
    /// 1 MiB.
    Megabyte,
    /// So many bytes.
    Bytes(u64),
    /// 1 KiB after a second.
    Slow,
    /// 1 KiB after so short a while that the proxy has just gone to sleep.
    Soon,
}

impl Asked {
    /// By path, for a request with (or without) the right bearer.
    pub(crate) fn by(path: &[u8], authorized: bool) -> Self {
        match path {
            b"/api/v2/oauth/token" => Self::Token,
            _ if !authorized => Self::Refused,
            b"/1k" => Self::Kilobyte,
            b"/1m" => Self::Megabyte,
            b"/slow" => Self::Slow,
            b"/soon" => Self::Soon,
            [b'/', b'b', b'/', digits @ ..] => Self::Bytes(decimal(digits)),
            _ => Self::Little,
        }
    }
}

impl Asked {
    /// How long the answer is held back.
    pub(crate) fn delay(self) -> Option<Duration> {
        match self {
            Self::Slow => Some(Duration::from_secs(1)),
            Self::Soon => Some(Duration::from_millis(2)),
            Self::Token | Self::Refused | Self::Little | Self::Kilobyte | Self::Megabyte | Self::Bytes(_) => {
                None
            }
        }
    }
}

/// Every answer of HTTP/1.1, head and content, and the contents alone for HTTP/2.
pub(crate) struct Answers {
    /// Finds the right bearer in a head, however the field's name begins.
    pub(crate) bearer: Finder<'static>,
    token: Answer,
    refused: Answer,
    little: Answer,
    kilobyte: Answer,
    megabyte: Answer,
}

/// One answer.
pub(crate) struct Answer {
    /// For HTTP/1.1.
    pub(crate) whole: Vec<u8>,
    /// Without its head.
    pub(crate) content: Vec<u8>,
}

impl Default for Answers {
    fn default() -> Self {
        let token =
            format!("{{\"access_token\":\"{TOKEN}\",\"token_type\":\"Bearer\",\"expires_in\":86400}}");
        let bearer = format!("uthorization: Bearer {TOKEN}\r\n");
        Self {
            bearer: Finder::new(bearer.as_bytes()).into_owned(),
            token: Answer::new("200 OK", token),
            refused: Answer::new("401 Unauthorized", "{}".to_owned()),
            little: Answer::new("200 OK", "{}".to_owned()),
            kilobyte: Answer::new("200 OK", json(1024)),
            megabyte: Answer::new("200 OK", json(1024 * 1024)),
        }
    }
}

impl Answers {
    /// The answer to `asked`; [`Asked::Bytes`] has none that is ready.
    pub(crate) fn to(&self, asked: Asked) -> &Answer {
        match asked {
            Asked::Token => &self.token,
            Asked::Refused => &self.refused,
            Asked::Little | Asked::Bytes(_) => &self.little,
            Asked::Kilobyte | Asked::Slow | Asked::Soon => &self.kilobyte,
            Asked::Megabyte => &self.megabyte,
        }
    }
}

impl Answer {
    fn new(status: &str, content: String) -> Self {
        let mut whole = head(status, content.len() as u64).into_bytes();
        whole.extend_from_slice(content.as_bytes());
        Self { whole, content: content.into_bytes() }
    }
}

/// A response head with as many fields as an API's.
pub(crate) fn head(status: &str, length: u64) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nDate: Mon, 23 Nov 2026 10:00:00 GMT\r\n\
         X-Request-Id: 0f8fad5b-d9cb-469f-a165-70867728950e\r\nCache-Control: no-store\r\n\
         Content-Length: {length}\r\n\r\n"
    )
}

fn json(size: usize) -> String {
    format!("{{\"data\":\"{}\"}}", "x".repeat(size.saturating_sub(11)))
}

/// The number that `bytes` begins with.
pub(crate) fn decimal(bytes: &[u8]) -> u64 {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0_u64, |sum, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
}
