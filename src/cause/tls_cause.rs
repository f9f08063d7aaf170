//! Why a TLS handshake failed, in words of our own, where the certificate is not the reason. Pure.

use std::io;

use super::io_cause;

/// The cause for a person. The library's own words are for the debug log.
pub fn tls_cause(error: &io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(error) => tls_words(error),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "the other side closed the connection during the handshake".to_owned()
        }
        None => io_cause(error).unwrap_or_else(|| "the handshake failed".to_owned()),
    }
}

/// The same for the library's own error.
pub fn tls_words(error: &rustls::Error) -> String {
    if matches!(error, rustls::Error::InvalidMessage(_)) {
        return "what responds there does not speak TLS".to_owned();
    }
    if let rustls::Error::AlertReceived(alert) = error {
        return format!("the other side refused the handshake ({})", words(&format!("{alert:?}")));
    }
    if matches!(error, rustls::Error::PeerIncompatible(_)) {
        return "the other side speaks no version or cipher that this program accepts (TLS 1.2 or 1.3)"
            .to_owned();
    }
    "the handshake failed".to_owned()
}

/// `HandshakeFailure` as `handshake failure`.
fn words(name: &str) -> String {
    let mut words = String::new();
    for character in name.chars() {
        if character.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(character.to_ascii_lowercase());
    }
    words
}

#[cfg(test)]
mod tests {
    use rustls::{AlertDescription, InvalidMessage};

    use super::*;

    #[test]
    fn a_handshake_fails_in_our_words() {
        for (error, due) in [
            (InvalidMessage::InvalidContentType.into(), "what responds there does not speak TLS"),
            (
                rustls::Error::AlertReceived(AlertDescription::HandshakeFailure),
                "the other side refused the handshake (handshake failure)",
            ),
            (rustls::Error::General("of a library".to_owned()), "the handshake failed"),
        ] {
            assert_eq!(tls_cause(&io::Error::new(io::ErrorKind::InvalidData, error)), due);
        }
        let closed = io::Error::new(io::ErrorKind::UnexpectedEof, "tls handshake eof");
        assert_eq!(tls_cause(&closed), "the other side closed the connection during the handshake");
        let reset = io::Error::from(io::ErrorKind::ConnectionReset);
        assert_eq!(tls_cause(&reset), "the connection was closed by the other side");
    }
}
