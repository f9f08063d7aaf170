//! HTTP/1 messages as text: written by hand, and read without trusting them.

use serde_json::Value;

/// A request or a response, every byte of its head as the character of the same number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Message {
    /// The request line or the status line.
    pub(crate) start: String,
    /// The field lines in their order and case.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
}

impl Message {
    /// The status of a response.
    pub(crate) fn status(&self) -> u16 {
        let digits = self.start.split(' ').nth(1);
        digits.and_then(|digits| digits.parse().ok()).unwrap_or_else(|| panic!("no status: {}", self.start))
    }

    /// The method of a request.
    pub(crate) fn method(&self) -> &str {
        self.start.split(' ').next().unwrap_or_default()
    }

    /// The target of a request.
    pub(crate) fn target(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or_default()
    }

    /// The values of all lines called `name`, in any case of letters.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let lines = self.fields.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
        lines.map(|(_, value)| value.as_str()).collect()
    }

    /// The value of the only line called `name`; fails where there are several.
    pub(crate) fn only(&self, name: &str) -> Option<&str> {
        let values = self.all(name);
        assert!(values.len() <= 1, "{name} is repeated: {values:?}");
        values.first().copied()
    }

    /// The trailers, names in lower case.
    pub(crate) fn lower_case_trailers(&self) -> Vec<(String, &str)> {
        self.trailers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.as_str())).collect()
    }

    /// The body, as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body, as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

/// A request whose body has a length; `fields` are whole lines, each with its end.
pub(crate) fn request(method: &str, target: &str, fields: &str, body: &str) -> String {
    let bare = body.is_empty() && !matches!(method, "POST" | "PUT" | "PATCH");
    let length = if bare { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{fields}{length}\r\n{body}")
}

/// A GET without anything special.
pub(crate) fn get(target: &str) -> String {
    request("GET", target, "", "")
}

/// A response of 200 whose body has a length; `fields` are whole lines, each with its end.
pub(crate) fn ok(fields: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// The response of a token endpoint with this JSON.
pub(crate) fn token_response(json: impl AsRef<[u8]>) -> Vec<u8> {
    ok("Content-Type: application/json\r\n", json)
}
