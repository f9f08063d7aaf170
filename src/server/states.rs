//! The words in which the parts of a connection speak of what goes on. Each is kept in an atomic number
//! (see `signals`).
//!
//! Pure.

/// What goes on with requests on an HTTP/1 connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// No request is in progress.
    Idle,
    /// A request is being answered.
    Serving,
    /// The response has been handed to hyper to its end, and may not have left.
    Flushing,
    /// The response has left, and somebody still reads the request's body.
    Uploading,
}

/// How much of a request's body has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyState {
    /// All of it, or there is none.
    Ended,
    /// Somebody reads it.
    Open,
    /// Nobody will read the rest.
    Dropped,
}

/// What the next bytes from the client are, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// The head of a request, from its first byte: the gate looks at them.
    Head,
    /// The body of a request.
    Body,
    /// What follows a request whose body has ended. hyper may hold some of it already, unless it
    /// tries to read while the request is in progress: then it holds nothing
    /// (`Conn::mid_message_detect_eof`).
    Behind,
    /// A head whose beginning hyper holds already, perhaps.
    Unknown,
    /// No HTTP/1: HTTP/2, or a tunnel.
    Raw,
}

/// Why hyper has to give the connection back before it has served a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The client speaks HTTP/2.
    Http2,
    /// The target has a `#`.
    Fragment,
    /// All unfinished heads together are too large.
    NoMemory,
    /// hyper has refused what it read, with this status.
    Refused(u16),
}

impl Phase {
    /// From `phase as u8`.
    pub(super) fn from_code(code: u8) -> Self {
        [Self::Serving, Self::Flushing, Self::Uploading]
            .into_iter()
            .find(|phase| *phase as u8 == code)
            .unwrap_or(Self::Idle)
    }
}

impl Reading {
    /// From `reading as u8`.
    pub(super) fn from_code(code: u8) -> Self {
        [Self::Head, Self::Body, Self::Behind, Self::Raw]
            .into_iter()
            .find(|reading| *reading as u8 == code)
            .unwrap_or(Self::Unknown)
    }
}

impl Stop {
    /// A number for it, never zero.
    pub(super) fn code(self) -> u32 {
        match self {
            Self::Http2 => 1,
            Self::Fragment => 2,
            Self::NoMemory => 3,
            Self::Refused(status) => u32::from(status),
        }
    }

    /// From [`Stop::code`]; `None` for zero.
    pub(super) fn from_code(code: u32) -> Option<Self> {
        match code {
            0 => None,
            1 => Some(Self::Http2),
            2 => Some(Self::Fragment),
            3 => Some(Self::NoMemory),
            status => Some(Self::Refused(u16::try_from(status).unwrap_or(400))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_survives_its_number() {
        for phase in [Phase::Idle, Phase::Serving, Phase::Flushing, Phase::Uploading] {
            assert_eq!(Phase::from_code(phase as u8), phase);
        }
        for reading in [Reading::Head, Reading::Body, Reading::Behind, Reading::Unknown, Reading::Raw] {
            assert_eq!(Reading::from_code(reading as u8), reading);
        }
        for stop in [Stop::Http2, Stop::Fragment, Stop::NoMemory, Stop::Refused(400), Stop::Refused(431)] {
            assert_eq!(Stop::from_code(stop.code()), Some(stop));
        }
        assert_eq!(Stop::from_code(0), None);
    }
}
