//! Forms, and the client that sends one (RFC 6749 2.3.1 and appendix B).

use bytes::Bytes;
use percent_encoding::percent_decode_str;

use super::Refusal;
use crate::settings::Client;
use crate::wire::Head;

pub(super) const MEDIA_TYPE: &str = "application/x-www-form-urlencoded";

/// A form, its parameters in order.
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    pub(super) fn of(body: &Bytes) -> Self {
        Self(url::form_urlencoded::parse(body).into_owned().collect())
    }

    /// The first value. The check of a form refuses forms with a second one.
    pub(super) fn first(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn has_repeated(&self) -> bool {
        self.0
            .iter()
            .enumerate()
            .any(|(at, (name, _))| self.0.iter().skip(at + 1).any(|(other, _)| other == name))
    }
}

/// The credentials that a client shows.
pub(super) struct Presented {
    pub(super) id: String,
    secret: String,
}

impl Presented {
    /// From the form or from HTTP Basic, not both. `raw` leaves what Basic carries as it is.
    pub(super) fn of(head: &Head, form: &Form, raw: bool) -> Result<Self, Refusal> {
        let from_form = form.first("client_id").zip(form.first("client_secret"));
        match (head.only("authorization"), from_form) {
            (None, Some((id, secret))) => Ok(Self { id: id.to_owned(), secret: secret.to_owned() }),
            (Some(value), None) => Self::of_basic(value, raw).ok_or(Refusal::Client),
            (Some(_), Some(_)) => Err(Refusal::Request("the client authenticates in two ways")),
            (None, None) => Err(Refusal::Client),
        }
    }

    fn of_basic(value: &str, raw: bool) -> Option<Self> {
        use base64::Engine as _;
        let (scheme, encoded) = value.split_once(' ')?;
        let decoded = base64::engine::general_purpose::STANDARD.decode(encoded.trim()).ok()?;
        let text = String::from_utf8(decoded).ok()?;
        let (id, secret) = text.split_once(':').filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
        let decode = |part: &str| -> Option<String> {
            if raw {
                return Some(part.to_owned());
            }
            percent_decode_str(&part.replace('+', " ")).decode_utf8().ok().map(Into::into)
        };
        Some(Self { id: decode(id)?, secret: decode(secret)? })
    }

    pub(super) fn find<'c>(&self, clients: &'c [Client]) -> Result<&'c Client, Refusal> {
        clients
            .iter()
            .find(|client| client.id == self.id && client.secret.reveal() == self.secret)
            .ok_or(Refusal::Client)
    }
}
