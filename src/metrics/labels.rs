//! The values that labels have.

/// A closed set of label values.
pub trait Label: Copy + Eq + 'static {
    /// The label's name.
    const NAME: &'static str;
    /// All its values.
    const ALL: &'static [Self];

    /// The value as it is written.
    fn as_str(self) -> &'static str;
}

/// Why a request is sent to the API again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RetryReason {
    /// The API answered 401.
    Unauthorized,
    /// The API answered 429, or 503 with `Retry-After`.
    RateLimited,
    /// The connection to the API turned out dead.
    Connection,
}

impl Label for RetryReason {
    const NAME: &'static str = "reason";
    const ALL: &'static [Self] = &[Self::Unauthorized, Self::RateLimited, Self::Connection];

    fn as_str(self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::RateLimited => "rate_limited",
            Self::Connection => "connection",
        }
    }
}

/// What a request waits for in the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WaitReason {
    /// The time that the API asked for, or a backoff in its place.
    RateLimited,
    /// A token.
    Token,
    /// Its turn.
    Queue,
}

impl Label for WaitReason {
    const NAME: &'static str = "reason";
    const ALL: &'static [Self] = &[Self::RateLimited, Self::Token, Self::Queue];

    fn as_str(self) -> &'static str {
        match self {
            Self::RateLimited => "rate_limited",
            Self::Token => "token",
            Self::Queue => "queue",
        }
    }
}
